-- A buffer without a name has suggestions as soon as it has a language; an editor with nothing in it
-- starts no server.

return function(session)
  vim.wait(300)
  session.equal(#vim.api.nvim_get_proc_children(session.pid), 0, 'servers')
  session:lua(
    [[
    vim.bo.filetype = 'python'
    vim.api.nvim_buf_set_lines(0, 0, -1, true, ...)
  ]],
    vim.split(session.read('tests/data/try/shapes.py'), '\n')
  )
  session:wait_until_ready()
  session:resume_soon()
  session:accept()
end
