-- Whatever a column counts, wide letters and tabs around the cursor shift nothing.

return function(session)
  for _, encoding in ipairs({ 'utf-8', 'utf-16', 'utf-32' }) do
    local item = 'x = "é🦀ａ" .. rest'
    session:lua('fake(...)', { items = { item }, encoding = encoding })
    session:open(encoding .. '.py', '\t\t 🦀🦀')
    local agreed = session:lua('return vim.lsp.get_clients({ bufnr = 0 })[1].offset_encoding')
    session.equal(agreed, encoding, 'what columns count')
    session:lua('vim.api.nvim_win_set_cursor(0, { 1, 2 })')
    session:type('ix = "é🦀')
    session:wait_for_text('ａ" .. rest')
    session:type('ａ')
    session:wait_for_text('" .. rest')
    session:type('<M-Right>')
    session:wait_for_lines({ '\t\tx = "é🦀ａ" 🦀🦀' })
    session:type('<Tab>')
    session:wait_for_lines({ '\t\t' .. item .. ' 🦀🦀' })
    session:equal_cursor(0, #item + 2)
    session:escape()
    session:lua([[require('infill.server').stop()]])
    session:lua('vim.cmd.write()')
  end
end
