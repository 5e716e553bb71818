-- A file that the server leaves alone has no ghost text, and the status line says why.

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' }, excluded = { '.env' } })
  session:open('a.py', '')
  session:type('iv')
  session:wait_for_text('alue = 1')
  session:escape()
  session:lua('vim.cmd.write()')
  local function statusline()
    return session:lua([[return require('infill').statusline()]])
  end
  session:becomes('Infill 7 ms', statusline, 'the status line')

  session:edit('.env', 'KEY=1\n')
  session:becomes('Infill off: it is a file of secrets', statusline, 'the status line')
  session:type('ov')
  vim.wait(400)
  session.equal(session:ghost(), false, 'the ghost')
  session:escape()
  session:lua('vim.cmd.write()')
  session:lua('vim.cmd.edit("a.py")')
  session:becomes('Infill 7 ms', statusline, 'the status line, back in the first file')
end
