-- One server for the editor: a file of another project is another folder of its workspace.

return function(session)
  for _, project in ipairs({ 'one', 'two' }) do
    vim.fn.mkdir(session.folder .. '/' .. project .. '/.git', 'p')
    session:open(project .. '/a.py', 'x = 1\n')
  end
  session.equal(#vim.api.nvim_get_proc_children(session.pid), 1, 'servers')
  local names = session:lua([[
    return vim.tbl_map(function(folder)
      return vim.fs.basename(folder.name)
    end, vim.lsp.get_clients({ name = 'infill' })[1].workspace_folders)
  ]])
  session.equal(names, { 'one', 'two' }, 'the folders')

  -- What the second folder excludes is excluded: the server knows it, too.
  vim.fn.writefile({ 'b.py' }, session.folder .. '/two/.infillignore')
  session:edit('two/b.py', 'x = 1\n')
  session:eventually('the reason', function()
    return session:lua([[return require('infill').statusline()]]):find('Infill off: .*infillignore')
  end)
end
