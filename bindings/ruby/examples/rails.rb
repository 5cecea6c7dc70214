# frozen_string_literal: true

# Probes of a Rails application: its requests and its SQL, from the events that Rails announces through
# ActiveSupport::Notifications. To be copied to config/initializers. It needs nothing of Rails but that module.
#
#   rails:request  controller#action, status (0 if it raised), microseconds, of those in views and in the database
#   rails:sql      statement, its name, microseconds
require "ruby-static-tracing"
require "active_support"
require "active_support/notifications"

module RailsProbes
  MILLISECONDS = StaticTracing::Scaled[1000] # that Rails gives, as microseconds
  SECONDS = StaticTracing::Scaled[1_000_000]

  REQUEST = StaticTracing::Tracepoint.new("rails", "request", String, Integer, SECONDS, MILLISECONDS, MILLISECONDS)
  SQL = StaticTracing::Tracepoint.new("rails", "sql", String, String, SECONDS)
  REQUEST.provider.enable

  ActiveSupport::Notifications.monotonic_subscribe("process_action.action_controller") do |_, start, finish, _, event|
    if REQUEST.enabled?
      REQUEST.fire("#{event[:controller]}##{event[:action]}", event[:status], finish - start,
                   event[:view_runtime], event[:db_runtime])
    end
  end

  ActiveSupport::Notifications.monotonic_subscribe("sql.active_record") do |_, start, finish, _, event|
    SQL.fire(event[:sql], event[:name], finish - start) if SQL.enabled?
  end
end
