-- What is there before setup(): the command :Infill and the <Plug> mappings. Nothing is mapped to a
-- key and no server is started.

if vim.g.loaded_infill or vim.fn.has('nvim-0.10') == 0 then
  return
end
vim.g.loaded_infill = true

vim.api.nvim_create_user_command('Infill', function(command)
  require('infill.commands').run(command)
end, {
  nargs = '+',
  bang = true,
  range = true,
  desc = 'Infill: code completion',
  complete = function(...)
    return require('infill.commands').complete(...)
  end,
})

for _, action in ipairs({ 'accept', 'accept_word', 'accept_line', 'next', 'previous', 'dismiss', 'trigger' }) do
  vim.keymap.set('i', ('<Plug>(infill-%s)'):format((action:gsub('_', '-'))), function()
    require('infill')[action]()
  end, { desc = 'Infill: ' .. action:gsub('_', ' ') })
end
