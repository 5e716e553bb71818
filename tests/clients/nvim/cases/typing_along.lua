-- Typing what the ghost says keeps it: after each key the rest of it still stands at the cursor,
-- before the server can have answered and after it has.

return function(session)
  session:open_example('shapes.py')
  local ghost = session:resume(function(ghost)
    return #ghost.text:match('^[^\n]*') >= 4
  end)
  local first_line = ghost.text:match('^[^\n]*')

  for length = 1, math.min(#first_line - 1, 6) do
    local key = first_line:sub(length, length)
    session:type(key == '<' and '<lt>' or key)
    local rest = { row = ghost.row, column = ghost.column + length, text = ghost.text:sub(length + 1) }
    session:eventually('the rest of the ghost: ' .. rest.text, function()
      return vim.deep_equal(session:ghost(), rest)
    end)
    -- Neovim asks 200 ms after the last key. Whatever comes back must say the same.
    vim.wait(600)
    session.equal(session:ghost(), rest, 'the ghost after the answer')
  end

  local before, after = session:around_cursor()
  local rest = session:ghost().text
  session:accept()
  session.equal(session:text(), before .. rest .. after, 'the buffer after accepting the rest')
end
