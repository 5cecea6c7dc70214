# frozen_string_literal: true

module StaticTracing
  # Probes around a block.
  @blocks = {}.freeze # provider => name => [entry, exit]; frozen, so that any Ractor may read it

  class << self
    # Runs the block, and returns what it returns. Fires NAME__entry(name), and NAME__exit(name, nanoseconds) also if
    # the block raises, of the provider `blocks` or another. A name is published when it is first used, in the main
    # Ractor; one that is new in another Ractor is not traced there.
    def trace(name, provider: :blocks)
      entry, exit = (named = @blocks[provider] and named[name]) || define_block(provider, name)
      return yield unless exit && (exit.enabled? || entry.enabled?)

      measured = exit.args.size == 3
      start = nsec
      measured ? entry.fire_measured(start, name) : entry.fire(name)
      start = nsec
      begin
        yield
      ensure
        took = nsec - start
        measured ? exit.fire_measured(start + took, name, took) : exit.fire(name, took)
      end
    end

    private

    def define_block(provider, name)
      return unless Ractor.current == MAIN
      @lock.synchronize do
        cost = [*(Integer if Configuration.instance.cost)]
        home = Provider.register(provider)
        probe = Names.probe(name, 56)
        pair = [home.add_tracepoint("#{probe}__entry", *cost, String),
                home.add_tracepoint("#{probe}__exit", *cost, String, Integer)]
        home.enable
        key = name.is_a?(String) ? name.dup.freeze : name
        @blocks = Ractor.make_shareable(@blocks.merge(provider => { **@blocks.fetch(provider, {}), key => pair }))
        pair
      end
    end
  end

  MAIN = Ractor.current
end
