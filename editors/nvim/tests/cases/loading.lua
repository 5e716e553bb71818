-- While the model loads, typing goes on and the status line says how far it is; afterwards the
-- suggestion comes with the next key.

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' }, loading = true })
  session:edit('a.py', '')
  local function statusline()
    return session:lua([[return require('infill').statusline()]])
  end
  session:becomes('Infill loading 43%', statusline, 'the status line')
  session:type('iva')
  session:wait_for_lines({ 'va' })
  vim.wait(300)
  session.equal(session:ghost(), false, 'the ghost while loading')
  vim.fn.writefile({}, session.folder .. '/ready')
  session:becomes('Infill 7 ms', statusline, 'the status line')
  session:type('l')
  session:wait_for_text('ue = 1')
end
