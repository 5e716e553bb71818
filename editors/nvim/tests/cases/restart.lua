-- :Infill restart brings a new server for all open files, even if the old one hangs, and nobody is
-- alarmed.

return function(session)
  session:open_example('shapes.py')
  local function pids()
    return vim.api.nvim_get_proc_children(session.pid)
  end
  local first = pids()[1]
  session:lua([[vim.cmd('Infill restart')]])
  session:becomes(1, function()
    return pids()[1] ~= first and #pids()
  end, 'the servers')
  session:wait_until_ready()
  session:forget_requests()
  session:resume_soon()
  session:accept()
  session:escape()

  local second = pids()[1]
  vim.uv.kill(second, 'sigstop')
  session:lua([[vim.cmd('Infill restart')]])
  session:wait_until_ready()
  session:forget_requests()
  session:resume_soon()
  vim.uv.kill(second, 'sigcont')
  session:becomes(1, function()
    return #pids()
  end, 'the servers')
  session.equal(session:lua('return _G.said'), {}, 'what was said')
end
