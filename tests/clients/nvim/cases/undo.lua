-- One undo takes an accepted suggestion back, and a suggestion that is not accepted leaves nothing.

return function(session)
  session:open_example('shapes.py')
  session:resume()
  session:escape()
  local original = session:text()
  -- Breaks the undo sequence, so that what follows is one change of its own.
  session:lua('vim.o.undolevels = vim.o.undolevels')

  session:type('A')
  session:wait_for_ghost()
  session:escape()
  session.equal(session:text(), original, 'the buffer after leaving the ghost alone')
  session.equal(session:ghost(), false, 'the ghost after leaving insert mode')

  session:type('A')
  session:wait_for_ghost()
  session:accept()
  session:escape()
  session:type('u')
  session:eventually('the text of before', function()
    return session:text() == original
  end)
end
