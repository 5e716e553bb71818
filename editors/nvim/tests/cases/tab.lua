-- Without a suggestion, Tab is what it was before setup(): Neovim's own, or another plugin's mapping of
-- any kind. A second setup() changes nothing of that.

local WAYS = {
  { 'nothing', '', 'x\t' },
  { 'keys', [[vim.keymap.set('i', '<Tab>', '<C-v>u00e9')]], 'xé' },
  { 'remapped keys', [[vim.cmd('inoremap <F5> five') vim.cmd('imap <Tab> <F5>')]], 'xfive' },
  { 'itself', [[vim.cmd('imap <Tab> <Tab>')]], 'x\t' },
  { 'a function', [[vim.keymap.set('i', '<Tab>', function() vim.api.nvim_put({ 'F' }, 'c', false, true) end)]], 'xF' },
  {
    'an expression in Lua',
    [[vim.keymap.set('i', '<Tab>', function() return '<C-v>u00df' end, { expr = true })]],
    'xß',
  },
  {
    'an expression in a script',
    [[
      vim.fn.writefile({ 'func s:f()', 'return "S"', 'endfunc', 'inoremap <expr> <Tab> <SID>f()' }, 'tab.vim')
      vim.cmd.source('tab.vim')
    ]],
    'xS',
  },
}

return function(session)
  for _, way in ipairs(WAYS) do
    local other = session.start(session.way)
    other:lua([[vim.keymap.del('i', '<Tab>')]])
    other:lua('vim.o.expandtab, vim.o.softtabstop = false, 0')
    other:lua(way[2])
    for _ = 1, 2 do
      other:lua('fake(...)', { items = { 'value = 1' } })
    end
    other:edit('a.txt', '')
    other:type('ix<Tab>')
    other:becomes(way[3], function()
      return other:lines()[1]
    end, 'the line where Tab was ' .. way[1])
    other:stop()
  end
end
