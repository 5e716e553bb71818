-- With automatic = false no question leaves Neovim but those asked by hand.

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' }, log = 'log' }, { settings = { automatic = false } })
  session:open('a.py', '')
  session:type('iva')
  session:wait_for_lines({ 'va' })
  vim.wait(300)
  session.equal(session:lua([[return #got('log', 'textDocument/inlineCompletion')]]), 0, 'questions')
  session:type([[<M-\>]])
  session:wait_for_text('lue = 1')
  session:type('lu')
  session:wait_for_text('e = 1')
  session:type('x')
  session:wait_for_text(false)
  session.equal(session:lua([[return #got('log', 'textDocument/inlineCompletion')]]), 1, 'questions')
  local first = session:lua([[return got('log', 'initialize')[1][2].initializationOptions.infill]])
  session.equal(first, { automatic = false, status = true }, 'what the server was told')
end
