# frozen_string_literal: true

require "helper"
require "tmpdir"

# The gem, installed without a network where there is no other: it has the library in it, and needs none.
class GemTest < Minitest::Test
  HERE = File.expand_path("..", __dir__)
  VERSION = StaticTracing::VERSION

  def run!(env, *command)
    output = IO.popen(env, command, err: %i[child out], &:read)
    assert_predicate $?, :success?, "#{command.join(" ")}: #{output}"
    output
  end

  def with_gem(env = {})
    Dir.mktmpdir do |home|
      run!({}, RbConfig.ruby, "-S", "rake", "-f", "#{HERE}/Rakefile", "-C", HERE, "build")
      env = { "GEM_HOME" => home, "GEM_PATH" => home, "RUBYOPT" => nil, "RUBYLIB" => nil }.merge(env)
      run!(env, "gem", "install", "--local", "--no-document", "#{HERE}/pkg/libusdt-#{VERSION}.gem")
      yield env, "#{home}/gems/libusdt-#{VERSION}"
    end
  end

  def test_it_installs_offline_and_traces
    with_gem do |env, gem|
      files = Dir["**/*", base: gem]
      assert_empty Dir["#{HERE}/../../usdt*.[chs]"].map { |f| "ext/static_tracing/libusdt/#{File.basename(f)}" } - files
      assert_includes files, "ext/static_tracing/libusdt/LICENSE"
      assert_empty run!(env, "ldd", Dir["#{gem}/lib/**/native.so"].first).lines.grep(/usdt/)
      program = IO.popen([env, RbConfig.ruby, "-W0", "-rruby-static-tracing", "-e", <<~'RUBY'], "r+")
        $stdout.sync = true
        class Foo; def bar = 1; end
        StaticTracing::Tracer::Latency.register(Foo, :bar)
        puts StaticTracing.available?.inspect, $LOADED_FEATURES.grep(/native/)
        gets
        Foo.new.bar
        gets
      RUBY
      assert_equal "true", program.gets.chomp
      assert program.gets.start_with?(env["GEM_HOME"])
      unless Bpftrace.missing
        tracer = Bpftrace.new('usdt:*:foo:bar { printf(">%s\n", str(arg0)); }', pid: program.pid)
        program.puts
        assert_equal ["bar"], tracer.lines(1)
      end
    ensure
      tracer&.stop
      program&.close
    end
  end

  def installs_and_does_nothing(env)
    with_gem(env) do |home, gem|
      assert_empty Dir["#{gem}/lib/**/native.*"]
      code = 'require "libusdt"; p StaticTracing.trace(:a) { 4 }, StaticTracing.unavailable_reason'
      assert_match(/\A4\n"there is no extension: .*native/, run!(home, RbConfig.ruby, "-W0", "-e", code))
    end
  end

  def test_without_a_compiler
    Dir.mktmpdir do |bin|
      compiler = "#{bin}/#{RbConfig::CONFIG["CC"].split.first}"
      File.write(compiler, "#!/bin/sh\nexit 1\n")
      File.chmod(0o755, compiler)
      installs_and_does_nothing("PATH" => "#{bin}:#{ENV["PATH"]}")
    end
  end

  def test_without_rubys_header_files
    Dir.mktmpdir do |dir|
      set = %w[CONFIG MAKEFILE_CONFIG].map { |c| "RbConfig::#{c}[\"rubyhdrdir\"] = \"/none\"" }
      File.write("#{dir}/none.rb", ["require \"rbconfig\"", *set].join("\n"))
      installs_and_does_nothing("RUBYOPT" => "-r#{dir}/none.rb")
    end
  end

  def test_a_gem_without_the_library_is_not_made
    Dir.mktmpdir do |dir|
      FileUtils.cp_r(%w[ext lib examples README.md libusdt.gemspec].map { |f| "#{HERE}/#{f}" }, dir)
      FileUtils.rm_rf("#{dir}/ext/static_tracing/libusdt")
      output = IO.popen(["gem", "build", "libusdt.gemspec", { chdir: dir, err: %i[child out] }], &:read)
      assert_match(%r{libusdt/usdt\.h}, output)
      assert_empty Dir["#{dir}/*.gem"]
    end
  end
end
