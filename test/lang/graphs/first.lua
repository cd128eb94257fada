-- test: file x.tmpl {% for i, n in ipairs(names) do %}\nserver_name {{ n }};\n{% end %}\nlisten {{ port }};\n

pkg "nginx" {}

file "/etc/nginx/sites-enabled/shop.conf" {
  content = template("x.tmpl", { port = 8080, names = { "shop", "www" } }),
  mode = "0644",
  needs = pkg "nginx",
  notify = svc "nginx",
}

svc "nginx" { state = "running", enabled = true }

for _, who in ipairs { "ada", "grace" } do
  user(who) { groups = { "ops" }, shell = "/bin/bash" }
end
