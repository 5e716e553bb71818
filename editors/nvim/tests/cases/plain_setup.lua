-- Without setup(): Neovim's `vim.lsp.enable` starts the server (0.11 and later), the plugin draws, and
-- only the user's own keys are mapped, through <Plug>.

return function(session)
  if session:lua('return vim.lsp.enable == nil') then
    return
  end
  local way = session.folder .. '/way'
  vim.fn.mkdir(way)
  vim.fn.writefile({
    ('vim.opt.runtimepath:prepend(%q)'):format(vim.fn.fnamemodify(session.way .. '/..', ':p')),
    "vim.lsp.config('infill', { cmd = { vim.env.INFILL_BIN, 'lsp' } })",
    "vim.lsp.enable('infill')",
    "vim.keymap.set('i', '<C-l>', '<Plug>(infill-accept-word)')",
  }, way .. '/init.lua')
  local other = session.start(way)
  other:open_example('shapes.py')
  local ghost = other:resume_soon()
  local before = other:around_cursor()
  other:type('<C-l>')
  other:eventually('the word', function()
    local text = other:around_cursor()
    return #text > #before and vim.startswith(before .. ghost.text, text)
  end)
  session.equal(other:lua([[return vim.fn.maparg('<C-]>', 'i')]]), '', 'keys that were not asked for')

  local pid = vim.api.nvim_get_proc_children(other.pid)[1]
  vim.uv.kill(pid, 'sigkill')
  session:eventually('another server', function()
    local new = vim.api.nvim_get_proc_children(other.pid)[1]
    return new and new ~= pid
  end)
  other:stop()
end
