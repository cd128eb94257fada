local net, list, text = import "std.net", import "std.list", import "std.text"
value "net" { any = {
  net.network("10.1.2.3/8"), net.host("10.0.0.0/24", 5), net.host("fd00::/64", -1),
  net.subnet("10.0.0.0/8", 16, 3), net.subnets("192.0.2.0/30", 31), net.contains("10.0.0.0/8", "10.9.9.9"),
  net.reverse("192.0.2.1"), net.size("0.0.0.0/0"), net.netmask("10.0.0.0/20"), net.family("::1"),
} }
value "list" { any = {
  list.map({ 1, 2, 3 }, function(x) return x * 2 end),
  list.filter({ 1, 2, 3 }, function(x) return x > 1 end),
  list.sort({ "b", "a" }), list.unique({ 1, 1, 2 }), list.concat({ 1 }, { 2 }),
  list.range(3), list.range(5, 1, -2), list.keys({ b = 1, a = 2, [1] = 3 }),
  list.group({ 1, 2, 3, 4 }, function(x) return x % 2 == 0 and "even" or "odd" end),
} }
value "text" { any = {
  text.split("a,b,c", ","), text.trim("  x "), text.lines("a\r\nb\n"), text.join({ 1, "b" }, "-"),
  text.indent("a\n\nb", 2), text.dedent("\n    a\n      b\n"), text.pad("x", 3) .. "|", text.pad("x", -3),
} }
value "formats" { any = {
  std.json.decode('{"a": [1, null], "b": null, "c": 1.5}'), std.json.encode({ b = 1, a = { true } }),
  std.yaml.decode("a: [yes, 010, 0x10, 1.0, ~]\n"), std.yaml.encode({ a = { "yes", "x: y" }, b = {} }),
  std.toml.decode("[a.b]\nc = [1, 2]\n"), std.toml.encode({ a = { b = "x" }, l = { { x = 1 } } }),
  std.ini.decode("top = 1\n[s]\nk = v\nk = w\n"), std.ini.encode({ top = 1, s = { k = { "v", "w" } } }),
} }
value "digest" { any = std.digest.sha256("abc") }
