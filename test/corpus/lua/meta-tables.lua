local C = {} C.__index = C
function C.name(s) return s.n end
local o = setmetatable({ n = "a" }, C)
noop(o:name()) {}
for k, v in pairs(setmetatable({}, { __pairs = function() return next, { a = 1 } end })) do noop(k .. v) {} end
local t = { 3, 1, 2, x = 1 } table.sort(t)
value "t" { any = std.json.encode(std.list.values(t)) }
