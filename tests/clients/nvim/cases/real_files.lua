-- Files from outside the project: Python's own library and Neovim's. At places spread over each, the
-- rest of the line is cut and asked for. Where ghost text comes, accepting it gives the text before,
-- the suggestion, and the text after. A model is silent where it is unsure, so there are more places
-- than are needed.

local PLACES_A_FILE = 60
local ENOUGH = 3

local function python_file(module)
  local code = ('import %s; print(%s.__file__)'):format(module, module)
  return vim.trim(vim.system({ 'python3', '-c', code }):wait().stdout)
end

return function(session)
  for _, path in ipairs({ python_file('argparse'), python_file('textwrap'), vim.env.VIMRUNTIME .. '/lua/vim/fs.lua' }) do
    session:open(vim.fs.basename(path), session.read(path))
    local lines, accepted = session:lines(), 0
    for _, place in ipairs(session:places(PLACES_A_FILE)) do
      session:cut(place.row, place.column)
      local ghost = session:ask_at(place.row, place.column)
      if ghost then
        accepted = accepted + 1
        local before, after = session:around_cursor()
        session:accept()
        session.equal(session:text(), before .. ghost.text .. after, ('%s:%d'):format(path, place.row + 1))
      end
      session:escape()
      session:lua('vim.api.nvim_buf_set_lines(0, 0, -1, true, ...)', lines)
      if accepted == ENOUGH then
        break
      end
    end
    assert(accepted > 0, 'no suggestion in ' .. path)
    session:close()
  end
end
