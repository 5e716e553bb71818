-- Wide characters before the cursor, on its line and on those above it, do not shift what is inserted.

return function(session)
  local text = session.read('tests/data/try/user.go')
  session:open('user.go', (text:gsub('(\n%s*)(%l)', '%1/* é🦀 */ %2')))
  local ghost = session:resume(function(ghost)
    return session:lines()[ghost.row + 1]:find('🦀 */ ', 1, true)
  end)
  local before, after = session:around_cursor()
  session:accept()
  session.equal({ session:around_cursor() }, { before .. ghost.text, after }, 'the buffer after accepting')
end
