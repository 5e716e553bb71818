-- :Infill model offers what is in the store and what can be got, gets it with progress and its licence,
-- and switches to it.

return function(session)
  session:lua('fake(...)', { log = 'log' })
  session:lua([[
    vim.ui.select = function(items, options, chosen)
      _G.asked = { options.prompt, vim.tbl_map(options.format_item, items) }
      chosen(items[_G.choice], _G.choice)
    end
  ]])
  session:open('a.py', '')
  local function selected()
    local names = {}
    for _, each in ipairs(session:lua([[return got('log', 'workspace/executeCommand')]])) do
      if each[2].command == 'infill.selectModel' then
        table.insert(names, each[2].arguments[1])
      end
    end
    return names
  end
  local function choose(number)
    session:lua('_G.choice = ...', number)
    session:lua([[vim.cmd('Infill model')]])
  end

  choose(2)
  session:becomes({ 'mine' }, selected, 'the model')
  session.equal(session:lua('return _G.asked'), {
    'Model (now fake-1)',
    { 'the built-in model', 'mine, 2.0 GB', 'get yours (licence: a licence)' },
  }, 'what can be chosen')
  choose(1)
  session:becomes({ 'mine', vim.NIL }, selected, 'the model')
  choose(3)
  session:becomes({ 'mine', vim.NIL, 'yours' }, selected, 'the model')
  session.equal(session:lua('return _G.said'), { 'Infill: yours is there; licence: a licence' }, 'what was said')
  session:lua([[vim.cmd('Infill model named')]])
  session:becomes({ 'mine', vim.NIL, 'yours', 'named' }, selected, 'the model')
end
