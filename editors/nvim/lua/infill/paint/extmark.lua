-- Draws ghost text with extmarks, for Neovims that do not do it themselves (0.10 and 0.11).

local M = {}

local namespace = vim.api.nvim_create_namespace('infill')

---@class infill.Shown A suggestion on the screen.
---@field rest infill.Rest
---@field command? table The server's command to run when it is accepted.

function M.attach() end

function M.detach(buffer)
  M.hide(buffer)
end

--- Draws one of these.
---@param buffer integer
---@param _ integer The client.
---@param all infill.Shown[]
---@param index integer
---@param numbered boolean Whether to say which of how many it is.
function M.show(buffer, _, all, index, numbered)
  M.hide(buffer)
  local rest = all[index].rest
  local lines = {}
  for _, text in ipairs(vim.split(rest.text, '\n', { plain = true })) do
    table.insert(lines, { { text, 'InfillGhost' } })
  end
  if numbered then
    table.insert(lines[#lines], { (' (%d/%d)'):format(index, #all), 'InfillCount' })
  end
  vim.api.nvim_buf_set_extmark(buffer, namespace, rest.row, rest.column, {
    virt_text = table.remove(lines, 1),
    virt_text_pos = rest.replaced == '' and 'inline' or 'overlay',
    virt_lines = lines,
    hl_mode = 'combine',
  })
end

---@param buffer integer
function M.hide(buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  end
end

--- Nothing else changes what is drawn.
function M.chosen() end

function M.settle() end

return M
