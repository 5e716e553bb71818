-- A split for text that is no file: what `why` and the tasks have to say.

local M = {}

--- Opens, or takes up again, the split of this name; the cursor stays where it was. Gives its buffer.
---@param name string
---@param lines string[]
---@param filetype string
---@return integer buffer
function M.open(name, lines, filetype)
  local title = 'infill://' .. name
  local buffer = vim.fn.bufadd(title)
  vim.fn.bufload(buffer)
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].filetype = filetype
  M.set(buffer, lines)
  if vim.fn.bufwinid(buffer) == -1 then
    local window = vim.api.nvim_get_current_win()
    vim.cmd('botright sbuffer ' .. buffer)
    vim.wo.wrap = true
    vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'Infill: close' })
    vim.api.nvim_set_current_win(window)
  end
  return buffer
end

---@param buffer integer
---@param lines string[]
function M.set(buffer, lines)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.bo[buffer].modifiable = true
    vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
    vim.bo[buffer].modifiable = false
  end
end

return M
