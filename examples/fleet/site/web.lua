-- A web server that tells the fleet where it is.
pkg "busybox" {}
file "/srv/www/" { recurse = true }
file "/srv/www/index.html" { content = "served by " .. exchange.host .. "\n" }
unit "www.service" {
  settings = {
    Service = { ExecStart = "/bin/busybox httpd -f -p 80 -h /srv/www", Restart = "always" },
    Install = { WantedBy = "multi-user.target" },
  },
  notify = svc "www",
}
svc "www" { state = "running", enabled = true }

-- What counts is that it serves; and that others know it.
health "www" { http = "http://127.0.0.1/", interval = 1 }
exchange.publish("web/" .. exchange.host, { address = exchange.host, port = 80 })
