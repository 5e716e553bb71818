-- The keys for the next and the previous candidate go round; Tab takes the one on the screen.

return function(session)
  session:lua('fake(...)', { items = { 'print(first)', 'print(second)', 'print(third)' } })
  session:open('a.py', '')
  session:type('ip')
  session:wait_for_text('rint(first)')
  for _, step in ipairs({
    { '<M-]>', 'rint(second) (2/3)' },
    { '<M-]>', 'rint(third) (3/3)' },
    { '<M-]>', 'rint(first) (1/3)' },
    { '<M-[>', 'rint(third) (3/3)' },
    { '<M-[>', 'rint(second) (2/3)' },
  }) do
    session:type(step[1])
    session:wait_for_text(step[2])
  end
  -- Typing along stays with this one, and those that no longer fit are gone.
  session:type('rint(s')
  session:wait_for_text('econd)')
  session:type('<Tab>')
  session:wait_for_lines({ 'print(second)' })
end
