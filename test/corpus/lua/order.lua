local t = { 30, 10, z = 1, a = 2, [10.5] = 3, [-1] = 4, [true] = 5, [false] = 6, [noop "r"] = 7 }
noop "r" {}
local seen = {}
for k, v in pairs(t) do seen[#seen + 1] = tostring(k) .. "=" .. v end
value "pairs" { any = seen }
local walked, k, v = {}, next(t)
while k ~= nil do walked[#walked + 1] = v; k, v = next(t, k) end
value "next" { any = walked }
local kept = {}
for k in pairs({ a = 1, b = 2, c = 3 }) do kept[#kept + 1] = k end
value "tostring" { any = { tostring({}), tostring(import), tostring(noop "r"), tostring(pairs), string.format("%s", {}), kept } }
