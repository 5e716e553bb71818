-- A dismissed suggestion is gone until something is typed, and Tab is a tab again.

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' } })
  session:open('a.py', '')
  session:type('iv')
  session:wait_for_text('alue = 1')
  session:type('<C-]>')
  session:wait_for_text(false)
  vim.wait(400)
  session.equal(session:ghost(), false, 'the ghost, a while after')
  session:lua('vim.bo.expandtab = false')
  session:type('<Tab>')
  session:wait_for_lines({ 'v\t' })
  session:type('<BS>a')
  session:wait_for_text('lue = 1')
end
