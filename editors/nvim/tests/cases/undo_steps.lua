-- What was accepted is one step of undo, apart from what was typed before and after it.

return function(session)
  session:lua('fake(...)', { items = { 'total = 1' } })
  session:open('a.py', '')
  session:type('ito')
  session:wait_for_text('tal = 1')
  session:type('<Tab>')
  session:wait_for_lines({ 'total = 1' })
  session:type('  # one')
  session:escape()
  for _, text in ipairs({ 'total = 1', 'to', '' }) do
    session:type('u')
    session:wait_for_lines({ text })
  end
  session:type('2<C-r>')
  session:wait_for_lines({ 'total = 1' })
end
