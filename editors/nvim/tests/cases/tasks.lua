-- Tasks for a selection: what is written comes into a split, takes the selection's place if the user
-- says so, and a model that cannot do it says what is missing.

return function(session)
  session:lua('fake(...)', { log = 'log' })
  session:lua([[
    vim.ui.select = function(_, options, chosen)
      _G.asked = options.prompt
      chosen('Replace the selection', 1)
    end
  ]])
  session:open('a.py', 'x = 1\nreturn a+b  # é\n')
  local function split(name)
    return session:lua(
      [[
      local buffer = vim.fn.bufnr('infill://' .. ...)
      return buffer ~= -1 and vim.api.nvim_buf_get_lines(buffer, 0, -1, true)
    ]],
      name
    )
  end

  session:type('2GV:Infill explain<CR>')
  session:becomes({ 'It adds', 'two numbers.' }, function()
    return split('explain')
  end, 'the split')
  session.equal(session:lua('return _G.asked'), vim.NIL, 'what is asked after an explanation')

  -- Exactly what is selected.
  session:type('2G0ve2l:Infill fix<CR>')
  session:wait_for_lines({ 'x = 1', 'return a + b+b  # é' })
  session.equal(session:lua('return _G.asked'), 'Infill fix:', 'the question')
  local got = session:lua([[return got('log', 'workspace/executeCommand')]])
  local range = got[#got][2].arguments[1].range
  session.equal({ range.start.character, range['end'].character }, { 0, 8 }, 'the range')

  session:type('2GV:Infill comment<CR>')
  session:wait_for_lines({ 'x = 1', '# adds', 'return a + b' })

  session:type('1GV:Infill translate rust<CR>')
  session:becomes({ 'return a + b' }, function()
    return split('translate')
  end, 'the translation')
  session:type('1GV:Infill translate<CR>')
  session:type('1GV:Infill tests<CR>')
  session:becomes({
    "Infill: translate to what? Name a language, such as ':Infill translate rust'",
    'Infill: fake-1 cannot write tests: infill model pull a-model-that-chats',
  }, function()
    return session:lua('return _G.said')
  end, 'what was said')
end
