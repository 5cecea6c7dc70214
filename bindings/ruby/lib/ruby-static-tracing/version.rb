# frozen_string_literal: true

module StaticTracing
  # That of the library in it.
  VERSION = "2.0.0"
end
