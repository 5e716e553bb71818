-- In a snippet, Tab takes the suggestion if one is on the screen, else it goes to the next place; the
-- snippet goes on behind what was accepted.

return function(session)
  session:lua('fake(...)', { items = { 'for item in items:' } })
  -- Neovim 0.10 has no key for that by itself; its help shows these lines.
  session:lua([[
    if vim.fn.has('nvim-0.11') == 0 then
      vim.keymap.set({ 'i', 's' }, '<Tab>', function()
        return vim.snippet.active({ direction = 1 }) and '<Cmd>lua vim.snippet.jump(1)<CR>' or '<Tab>'
      end, { expr = true })
      require('infill').setup({ cmd = require('infill.config').options.cmd })
    end
  ]])
  session:open('a.py', '')
  session:type('i')
  session:lua([[vim.snippet.expand('${1:name}\nnext($2)')]])
  session:eventually('the first place', function()
    return session:lua('return vim.api.nvim_get_mode().mode') == 's'
  end)
  session:type('for it')
  session:wait_for_text('em in items:')
  session:type('<Tab>')
  session:wait_for_lines({ 'for item in items:', 'next()' })
  session:type('<Tab>')
  session:becomes({ 1, 5 }, function()
    return { session:cursor() }
  end, 'the cursor')
end
