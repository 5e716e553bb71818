-- A server that is killed in the middle of a question comes back by itself, the user is told once, and
-- the pause grows with each time.

local function server_pid(session)
  return vim.api.nvim_get_proc_children(session.pid)[1]
end

return function(session)
  session:open_example('shapes.py')
  local pauses = {}
  for _ = 1, 3 do
    local pid = server_pid(session)
    vim.uv.kill(pid, 'sigstop')
    session:type('oself.')
    vim.wait(100)
    vim.uv.kill(pid, 'sigkill')
    local killed = vim.uv.now()
    local new = session:eventually('another server', function()
      local found = server_pid(session)
      return found ~= pid and found
    end)
    vim.uv.update_time()
    table.insert(pauses, vim.uv.now() - killed)
    assert(new ~= pid)
    session:escape()
    session:wait_until_ready()
  end
  assert(pauses[1] >= 400 and pauses[2] >= 900 and pauses[3] >= 1900, 'the pauses: ' .. vim.inspect(pauses))
  local said = session:lua('return _G.said')
  session.equal(#said, 1, 'how often the user was told: ' .. vim.inspect(said))
  assert(said[1]:find('signal 9', 1, true), said[1])

  -- And it works again.
  session:lua('vim.cmd.edit({ bang = true })')
  session:forget_requests()
  session:resume_soon()
  session:accept()
end
