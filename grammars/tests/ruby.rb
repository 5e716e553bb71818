# Orders and their discounts.
require "json"
# <- import
# <- statement
require_relative "line"
# <- import

module Shop
# <- symbol ... end
#      ^^^^ name
  class Order < Base
  # <- block ... end
  # <- statement ... end
  #     ^^^^^ name
    LIMIT = 10
    # <- block ... end
    # <- statement
    # <- symbol
    attr_reader :lines, :customer
    # <- statement
    #           ^^^^^^ name

    def initialize(lines, customer: nil)
    # <- symbol ... end
    #   ^^^^^^^^^^ name
      @lines = lines
      # <- block ... @customer = customer || "nobody"
      # <- statement
      @customer = customer || "nobody"
    end

    def self.load(path)
    # <- statement ... end
    #        ^^^^ name
      data = JSON.parse(File.read(path), symbolize_names: true)
      # <- statement
      new(data.fetch(:lines))
      # <- statement
    rescue Errno::ENOENT => error
    # <- statement
      warn "no #{path}: #{error.message}"
      # <- statement
    end

    def total
      lines.each_with_index do |line, index|
      # <- statement ... end
        next if line.free?
        # <- block ... end
        # <- statement
        if index > LIMIT
        # <- statement ... end
        #               ^ block ... break
          break
          # <- statement
        else
        # <- block
          puts line
          # <- statement
        end
      end
      while busy? do
      # <- statement ... end
      #           ^ block ... end
        sleep 1
        # <- statement
      end
      case lines.size
      # <- statement ... end
      # <- block ... end
      when 0 then :none
      # <- statement
      #           ^ statement
      else :some
      end
      lines.sum { |line| line.price }
      # <- statement
      #         ^ !block
      #                  ^ block
      #                  ^ statement
    end
  end
end
