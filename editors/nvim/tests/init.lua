-- What a user writes to have the plugin; the README shows the same line. Only the command differs:
-- the tests name the binary that was built.

local here = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))
vim.opt.runtimepath:prepend(vim.fs.dirname(here))

require('infill').setup({ cmd = { vim.env.INFILL_BIN, 'lsp' } })

-- What follows is for the cases alone.

--- Everything that was said to the user.
_G.said = {}
vim.notify = function(message)
  table.insert(_G.said, message)
end

--- Puts fake_server.py with this script in the server's place; `options` are setup()'s.
function _G.fake(script, options)
  local cmd = { 'python3', here .. '/fake_server.py', vim.json.encode(script) }
  require('infill').setup(vim.tbl_extend('force', { cmd = cmd }, options or {}))
end

--- What the fake server got under these methods: `{ method, params }` each.
function _G.got(log, ...)
  local wanted, found = { ... }, {}
  local lines = vim.fn.filereadable(log) == 1 and vim.fn.readfile(log, 'b') or {}
  -- What stands behind the last end of a line is nothing, or a message that is just being written.
  for index = 1, #lines - 1 do
    local message = vim.json.decode(lines[index])
    if vim.tbl_contains(wanted, message.method) then
      table.insert(found, { message.method, message.params })
    end
  end
  return found
end
