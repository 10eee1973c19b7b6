#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Which web pages may connect: mqtt_websocket_origin, and what "nginx -t" says
# to it and to mqtt_websocket_path.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    stream => 'mqtt_websocket_origin https://app.example null;',
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_same%%;
        mqtt_pass test;
        mqtt_websocket_origin same;
    }

    server {
        listen 127.0.0.1:%%PORT_wild%%;
        mqtt_pass test;
        mqtt_websocket_origin http://*.app.example:8080 same;
    }

    server {
        listen 127.0.0.1:%%PORT_any%%;
        mqtt_pass test;
        mqtt_websocket_origin any;
    }
END

$t->run;

# [ port, origin, host, accepted ]

my @rows = (
    [ mqtt => 'https://app.example', 'a', 1 ],
    [ mqtt => 'https://APP.example', 'a', 1 ],
    [ mqtt => 'http://app.example', 'app.example', 0 ],
    [ mqtt => 'https://app.example:444', 'a', 0 ],
    [ mqtt => 'https://app.example.org', 'a', 0 ],
    [ mqtt => 'null', 'a', 1 ],
    [ mqtt => '', 'a', 0 ],
    [ mqtt => undef, 'a', 1 ],
    [ same => 'https://mqtt.example:8084', 'mqtt.example:8084', 1 ],
    [ same => 'https://mqtt.example', 'mqtt.example:8084', 0 ],
    [ same => 'https://app.example', 'mqtt.example', 0 ],
    [ same => 'null', 'null', 0 ],
    [ same => undef, 'mqtt.example', 1 ],
    [ wild => 'http://one.app.example:8080', 'a', 1 ],
    [ wild => 'http://one.two.app.example:8080', 'a', 1 ],
    [ wild => 'http://app.example:8080', 'a', 0 ],
    [ wild => 'http://one.app.example', 'a', 0 ],
    [ wild => 'http://evil/.app.example:8080', 'a', 0 ],
    [ wild => 'https://a', 'a', 1 ],
    [ any  => 'https://anywhere', 'a', 1 ],
);

for my $row (@rows) {
    my ($port, $origin, $host, $accepted) = @$row;

    my $c = eval { $t->client(port => $port, ws => { origin => $origin,
                                                     host => $host }) };

    my $name = ($origin // 'none') . " at $host of \"$port\": "
               . ($accepted ? 'accepted' : 'refused');

    if ($accepted) {
        ok($c && $c->is_alive, $name);

    } else {
        like($@, qr/refused with 403/, $name);
    }
}

like($t->error_log, qr/refused with 403: the origin is not allowed/,
     'and logged');

# nginx -t

for my $bad ('app.example', 'https://', 'https://app.example/', 'https://*',
             '*', 'https://a.*', 'any same', 'Same')
{
    my ($output, $rc) = $t->nginx_t_conf(
        server => "mqtt_websocket_origin $bad;");
    my $line = $t->line_of(qr/mqtt_websocket_origin/);

    ok($rc && $output =~ /invalid origin "[^"]+" in \S+test\.conf:$line$/m,
       "mqtt_websocket_origin $bad") or diag($output);
}

for my $bad ('mqtt', '""', '/a?b', '"/a b"', '/a#b', "/\xc3\xa9") {
    my ($output, $rc) = $t->nginx_t_conf(
        server => "mqtt_websocket_path $bad;");
    my $line = $t->line_of(qr/mqtt_websocket_path/);

    ok($rc && $output =~ /"mqtt_websocket_path"\ directive\ (?:must\ begin|has)
                          .*\ in\ \S+test\.conf:$line$/mx,
       "mqtt_websocket_path $bad") or diag($output);
}

for my $twice ('mqtt_websocket on', 'mqtt_websocket_path /a',
               'mqtt_websocket_origin any')
{
    my ($output, $rc) = $t->nginx_t_conf(server => "$twice; $twice;");

    ok($rc && $output =~ /directive is duplicate/, "$twice twice")
        or diag($output);
}

done_testing();
