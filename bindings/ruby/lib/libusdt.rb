# frozen_string_literal: true

# The gem's name, for Bundler.
require "ruby-static-tracing"
