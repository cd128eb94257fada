local s = ("key = value"):gsub("(%w+)%s*=%s*(%w+)", "%2=%1")
for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do noop(k .. v) {} end
value "x" { any = { s, s:find("l", 1, true), s:match("%b()"), s:rep(3, "-"), s:format(1) } }
value "y" { any = pcall(string.rep, "x", 1 << 40) }
