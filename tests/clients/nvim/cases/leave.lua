-- The server ends with its editor: when the editor quits in peace, and when it is killed.

--- Does the process run? One that has ended and waits to be collected does not.
local function is_alive(pid)
  local file = io.open(('/proc/%d/stat'):format(pid))
  local stat = file and file:read('a') or ''
  if file then
    file:close()
  end
  local state = stat:match('^.*%) (%a)')
  return state ~= nil and state ~= 'Z'
end

local function quit(session)
  session:escape()
  vim.rpcnotify(session.channel, 'nvim_command', 'qall!')
end

local function kill(session)
  vim.uv.kill(session.pid, 'sigkill')
end

return function(session)
  for _, leave in ipairs({ quit, kill }) do
    local other = session.start(session.way)
    other:open_example('shapes.py')
    other:resume()
    local children = vim.api.nvim_get_proc_children(other.pid)
    session.equal(#children, 1, 'one editor, one server')
    leave(other)
    session:eventually('the end of the server', function()
      return not is_alive(children[1])
    end)
    other:stop()
  end
end
