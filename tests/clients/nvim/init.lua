-- What a user writes to have Infill in Neovim 0.12; the README shows the same lines. Only the
-- command differs: the tests name the binary that was built.

vim.lsp.config('infill', { cmd = { vim.env.INFILL_BIN, 'lsp' } })
vim.lsp.enable('infill')
vim.lsp.inline_completion.enable()
vim.keymap.set('i', '<Tab>', function()
  return vim.lsp.inline_completion.get() and '' or '<Tab>'
end, { expr = true, desc = 'Accept the suggestion, or indent' })
