-- In a file of CRLF, ghost text has no stray characters, and what was accepted is saved as the rest is.

return function(session)
  local text = session.read('tests/data/try/shapes.py'):gsub('\n', '\r\n')
  session:open('shapes.py', text)
  session.equal(session:lua('return vim.bo.fileformat'), 'dos', 'the format')
  local ghost = session:resume_soon()
  assert(not ghost.text:find('\r'), 'a carriage return on the screen')
  local before, after = session:around_cursor()
  session:accept()
  session.equal({ session:around_cursor() }, { before .. ghost.text, after }, 'the buffer after accepting')

  -- Several lines, from a server that ends them as the file does.
  session:escape()
  session:lua([[require('infill.server').stop()]])
  session:lua('fake(...)', { items = { 'def f():\r\n    return 1' } })
  session:open('b.py', 'x = 1\r\n')
  session:type('ggOd')
  session:wait_for_text('ef f():\n    return 1')
  session:type('<Tab>')
  session:wait_for_lines({ 'def f():', '    return 1', 'x = 1' })
  session:escape()
  session:lua('vim.cmd.write()')
  local file = session.read(session:lua('return vim.api.nvim_buf_get_name(0)'))
  session.equal(file, 'def f():\r\n    return 1\r\nx = 1\r\n', 'the file')
end
