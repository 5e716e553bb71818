-- While a completion menu is open, ghost text hides and Tab is the menu's, or stays, as the option
-- says; blink.cmp and nvim-cmp are asked in their own ways.

local COMPLETE = [[
  vim.o.completeopt = 'menuone,noinsert'
  vim.fn.complete(1, { 'value_one', 'value_two' })
]]

local function hide(session)
  session:type('iva')
  session:wait_for_text('lue_one = 1')
  session:lua(COMPLETE)
  session:wait_for_text(false)
  session:type('<C-e>')
  session:wait_for_text('lue_one = 1')
  session:escape()
end

local function coexist(session)
  session:lua([[require('infill.config').options.menu = 'coexist']])
  session:type('ccva')
  session:wait_for_text('lue_one = 1')
  session:lua(COMPLETE)
  -- The menu's entry is said to the server, with the part of the line that it stands for.
  local selected = session:eventually('the entry in a question', function()
    local got = session:lua([[return got('log', 'textDocument/inlineCompletion')]])
    local context = got[#got][2].context
    return context.selectedCompletionInfo
  end)
  session.equal(selected.text, 'value_one', 'the entry')
  session.equal({ selected.range.start.character, selected.range['end'].character }, { 0, 2 }, 'its range')
  session:wait_for_text('lue_one = 1')
  session:escape()
  session:lua([[require('infill.config').options.menu = 'hide']])
end

--- A plugin's menu, as far as others see it.
local function plugin(session, name, visible, told)
  session:type('ccva')
  session:wait_for_text('lue_one = 1')
  session:lua(([[
    package.loaded['%s'] = { %s = function() return _G.is_open end }
    _G.is_open = true
    %s
  ]]):format(name, visible, told))
  session:type('l')
  session:wait_for_lines({ 'val' })
  session:wait_for_text(false)
  session:lua('_G.is_open = false')
  session:type('u')
  session:wait_for_text('e_one = 1')
  session:lua(('package.loaded["%s"] = nil'):format(name))
  session:escape()
end

return function(session)
  session:lua('fake(...)', { items = { 'value_one = 1' }, log = 'log' })
  session:open('a.py', '')
  hide(session)
  coexist(session)
  plugin(
    session,
    'blink.cmp',
    'is_menu_visible',
    [[
    vim.api.nvim_exec_autocmds('User', { pattern = 'BlinkCmpMenuOpen' })
  ]]
  )
  plugin(session, 'cmp', 'visible', '')
end
