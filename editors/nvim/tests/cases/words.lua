-- The key for words takes one at a time and leaves the rest on the screen; the server is told how much
-- was taken, and of the whole when the last word is.

local ITEM = 'naïve = "🦀🦀" + other'

return function(session)
  session:lua('fake(...)', { items = { ITEM }, log = 'log' })
  session:open('a.py', '')
  session:type('in')
  session:wait_for_text(ITEM:sub(2))
  local taken = 'n'
  for _, word in ipairs({ 'aïve', ' =', ' "', '🦀🦀', '"', ' +', ' other' }) do
    session:type('<M-Right>')
    taken = taken .. word
    session:wait_for_lines({ taken })
    local rest = ITEM:sub(#taken + 1)
    session:wait_for_text(rest ~= '' and rest)
  end
  session:equal_cursor(0, #ITEM)

  local told = session:eventually('the command of the whole', function()
    local got = session:lua([[
      return got('log', 'textDocument/didShowCompletion', 'textDocument/didPartiallyAcceptCompletion', 'workspace/executeCommand')
    ]])
    return got[#got] and got[#got][1] == 'workspace/executeCommand' and got
  end)
  local lengths, shown = {}, 0
  for _, each in ipairs(told) do
    shown = shown + (each[1] == 'textDocument/didShowCompletion' and 1 or 0)
    table.insert(lengths, each[2].acceptedLength)
  end
  session.equal(shown, 1, 'how often it was said to be shown')
  -- In UTF-16, from the item's start: a crab has two units.
  session.equal(lengths, { 5, 7, 9, 13, 14, 16 }, 'the lengths that were told')
  session.equal(told[#told][2], { command = 'infill.didAccept', arguments = { 7 } }, 'the command')
end
