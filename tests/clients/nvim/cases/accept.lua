-- Ghost text stands on the screen at the cursor; Tab puts exactly that text into the buffer, and the
-- cursor behind it.

return function(session)
  session:open_example('shapes.py')
  local ghost = session:resume()
  local before, after = session:around_cursor()
  local row, column = session:cursor()

  session.equal({ ghost.row, ghost.column }, { row, column }, 'the ghost stands at the cursor')
  local shown = session:lines()[row + 1] .. ghost.text:match('^[^\n]*')
  assert(session:screen():find(vim.trim(shown), 1, true), 'the ghost is not on the screen')
  session.equal(session:text(), before .. after, 'a ghost is no part of the buffer')

  session:accept()
  session.equal({ session:around_cursor() }, { before .. ghost.text, after }, 'the buffer after accepting')
  session:escape()
  session:lua('vim.cmd.write()')
  local file = session.read(session:lua('return vim.api.nvim_buf_get_name(0)'))
  session.equal(file, before .. ghost.text .. after .. '\n', 'the file')
end
