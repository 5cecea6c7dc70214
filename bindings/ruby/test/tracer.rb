# frozen_string_literal: true

require "tempfile"

# bpftrace on a process, with its output in a file.
class Bpftrace
  def self.missing
    dirs = ENV["PATH"].split(":")
    return "bpftrace is not installed" unless dirs.any? { |dir| File.executable?("#{dir}/bpftrace") }
    return "only root can trace" unless Process.uid.zero?
    "no uprobe_events: tracefs is not mounted" unless Dir["/sys/kernel{,/debug}/tracing/uprobe_events"].any?
  end

  def self.wait_for(seconds = 60)
    Integer(seconds * 50).times { yield ? (return true) : sleep(0.02) }
    false
  end

  # Attached, when it returns: it places its probes some time before it records what they say.
  def initialize(script, pid: Process.pid)
    @out = Tempfile.new("bpftrace")
    script += ' interval:ms:50 { if (!@on) { printf("attached\n"); @on = 1; } } END { clear(@on); }'
    @pid = spawn("bpftrace", *(["-p", pid.to_s] if pid), "-e", script, in: :close, out: @out.path, err: %i[child out])
    return if Bpftrace.wait_for { output.match?(/^attached$/) || ended? } && !ended?
    stop
    raise "bpftrace does not attach: #{output}"
  end

  def output
    File.read(@out.path)
  end

  # What follows '>' in lines, when there are so many or the time is up; it is stopped.
  def lines(count)
    Bpftrace.wait_for { output.scan(/^>/).size >= count }
    stop.scan(/^>(.*)$/).flatten
  end

  def stop
    # One INT was seen not to be enough on a busy machine.
    4.times { ended? || (Process.kill("INT", @pid) && Bpftrace.wait_for(30) { ended? }) }
    Process.kill("KILL", @pid) unless ended?
    output
  end

  private

  def ended?
    @ended ||= !Process.wait(@pid, Process::WNOHANG).nil?
  end
end
