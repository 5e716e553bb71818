local json = require("json")
-- <- import
-- <- statement
require "strict"
-- <- import

local LIMIT = 10
-- <- symbol
--    ^^^^^ name
-- <- !import

local Queue = {}
Queue.__index = Queue
-- <- statement
-- <- symbol

function Queue.new(items)
-- <- symbol ... end
--       ^^^^^^^^^ name
  local self = setmetatable({ items = items or {} }, Queue)
  -- <- block ... return self
  -- <- statement
  return self
  -- <- statement
end

function Queue:push(item, ...)
-- <- statement ... end
--       ^^^^^^^^^^ name
  if #self.items >= LIMIT then
  -- <- statement ... end
    error("full: " .. json.encode(item))
    -- <- block
    -- <- statement
  elseif item == nil then
    return false
    -- <- block
    -- <- statement
  else
    self.items[#self.items + 1] = item
    -- <- block
    -- <- statement
  end
  for index = 1, #self.items do
  -- <- statement ... end
    print(index, self.items[index])
    -- <- block
    -- <- statement
  end
  for _, value in ipairs({ ... }) do
    self:push(value)
    -- <- statement
  end
  repeat
  -- <- statement ... until not self:busy()
    coroutine.yield()
    -- <- statement
  until not self:busy()
  while self:busy() do break end
  -- <- statement
  --                   ^ block
  --                   ^ statement
  return true
end

local function first(list) return list[1] end
-- <- symbol
--             ^^^^^ name
--                         ^ block

return {
-- <- statement ... }
  Queue = Queue,
  first = first,
  size = function(queue) return #queue.items end,
  -- <- symbol
  -- <- name
}
