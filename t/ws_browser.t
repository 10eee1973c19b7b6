#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The page of the demo in a real browser: MQTT.js over a location of http and
# over a stream listener, from the page to Kafka and back, from a device to the
# page, the end of a connection as the page sees it, and origins.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Browser;
use MqttTest::Util qw/ root /;
use Test::More;

###############################################################################

my $missing = MqttTest::Browser->missing;

plan skip_all => "no $missing" if $missing;
plan skip_all => 'no MQTT.js: run "make mqttjs"'
    if !-f root() . '/build/mqttjs/mqtt.min.js';

my $t = MqttTest->new;
my $root = root();

# workers are not root, and may not be let into the directory of the sources

for my $file ('demo/page.html', 'build/mqttjs/mqtt.min.js') {
    my ($name) = $file =~ m{([^/]+)$};

    $t->write_file($name, MqttTest::Util::slurp("$root/$file"));
}

my $topic = $t->kafka->topic('vehicle.telemetry');
my $commands = $t->kafka->topic('vehicle.command');

$t->write_conf(
    kafka => 1,
    gateway => "topic telemetry kafka=$topic uplink;"
               . " topic command kafka=$commands downlink;"
               . ' kafka_set linger.ms 0;',
    server => 'mqtt_websocket_origin http://127.0.0.1:%%PORT_web%%;',
    servers => <<'END',
    server {
        listen 127.0.0.1:%%PORT_strict%%;
        mqtt_pass test;
        mqtt_websocket_origin https://app.example;
    }
END
    http => <<'END');
    server {
        listen 127.0.0.1:%%PORT_web%%;
        root %%TESTDIR%%;
        default_type text/html;

        location = /mqtt {
            mqtt_pass test;
            mqtt_websocket_origin same;
        }
    }
END

$t->run;

my $page = 'http://127.0.0.1:' . $t->port('web') . '/page.html';
my $browser = MqttTest::Browser->new(dir => $t->dir);

# over http, as the page proposes

$browser->go($page);
is($browser->text('state'), 'not connected', 'the page');

$browser->type(client => 'page-1');
$browser->click('connect');
ok(state('connected'), 'connected over http');

$browser->click('publish');
ok(logged('published telemetry/engine/rpm 3100'), 'PUBACK');

my ($record) = $t->kafka->records($topic, count => 1);

is($record->{payload}, '3100', 'the record in Kafka');
is($record->{key}, 'page-1', 'its key is the client id');

my $kafka = $t->kafka->bootstrap;
my $kcat = `kcat -b $kafka -C -t $topic -e -q -f '%h %s' 2>&1`;

like($kcat, qr{qoslevel=1,.*mqttSecondTopic=/engine/rpm,.* 3100$},
     'as kcat sees it');

# a command for it, from the back end: no subscription is needed

$t->kafka->write($commands, {
    payload => 'start',
    headers => [ [ mqttSecondTopic => '/p2p/page-1' ] ],
});
ok(logged('message command/p2p/page-1 start'), 'a P2P command from Kafka');

# a message from an ordinary device

my $filter = 'chat/page';
my $text = "stop \x{c3}\x{a9}" . 'x' x 70_000;

$browser->type(filter => $filter);
$browser->click('subscribe');
ok(logged("subscribed $filter"), 'subscribed');

my $device = $t->client(version => 4);

$device->publish($filter, $text, qos => 1);
ok(logged("message $filter stop \x{e9}" . 'x' x 70_000), 'a message');

# the page ends it

$browser->click('connect');
ok(state('not connected'), 'disconnected');
ok(wait_for(sub { $t->total('websockets') == 0 }), 'the server knows');
is($t->total('connections_lost'), 0, 'it was a DISCONNECT');

# over the listener of MQTT

my $url = 'ws://127.0.0.1:' . $t->port('mqtt') . '/mqtt';

$browser->type(url => $url);
$browser->click('connect');
ok(state('connected'), 'connected over stream');

$browser->type(payload => 'p' x 1000);
$browser->click('publish');
ok(logged('published telemetry/engine/rpm ' . 'p' x 1000), 'PUBACK');
is(scalar(my @records = $t->kafka->records($topic, count => 2)), 2,
   'a second record');

# what a page learns of the end: code and clean close

is_deeply(closes(sub { $t->client(client_id => 'raw') }), [ 1008, 1 ],
          'taken over: 1008, clean');
is_deeply(closes(sub { }, "ws.send('text')"), [ 1003, 1 ],
          'a text frame: 1003, clean');
is_deeply(closes(sub { }, 'ws.send(new Uint8Array([ 0xe0, 0 ]))'),
          [ 1000, 1 ], 'DISCONNECT: 1000, clean');
is_deeply(closes(sub { }, "ws.close(4001, 'bye')"), [ 4001, 1 ],
          'the page closes: its own code, clean');

# pages of others

my $strict = 'ws://127.0.0.1:' . $t->port('strict') . '/mqtt';

is_deeply(closes(sub { }, '', $strict), [ 1006, 0 ],
          'another origin is refused');
like(join("\n", $browser->console), qr/Unexpected response code: 403/,
     'which is in the console');

# reload: the page is told, and comes back by itself

ok(state('connected'), 'the page is still connected');
ok($t->reload, 'reload');
ok(logged('disconnected by the server  reason code 0x8b'), 'DISCONNECT');
ok(wait_for(sub { $t->total('websockets') == 1
                      && $browser->text('state') eq 'connected' }, 20),
   'connected again');

$browser->quit;
ok(wait_for(sub { $t->total('websockets') == 0 }), 'the browser has gone');

done_testing();

###############################################################################

sub state {
    my ($wanted) = @_;

    return wait_for { $browser->text('state') eq $wanted } 20;
}


# a line of the page's log, without its time

sub logged {
    my ($line) = @_;

    return wait_for {
        $browser->run(<<'END', $line);
            return [ ...document.querySelectorAll('#log tr') ].some((tr) =>
                [ ...tr.cells ].slice(1).map((cell) => cell.textContent)
                    .join(' ').trim() == arguments[0]);
END
    } 20;
}


# code and wasClean of a WebSocket that a script of the page opens for MQTT;
# the script has "ws", then the sub is run

sub closes {
    my ($action, $script, $where) = @_;

    $script //= '';

    $browser->run(<<"END", $where // $url);
        const ws = new WebSocket(arguments[0], 'mqtt');

        window.ended = null;
        window.answered = false;
        ws.binaryType = 'arraybuffer';
        ws.onclose = (event) => window.ended = [ event.code,
                                                  event.wasClean ? 1 : 0 ];
        ws.onopen = () => ws.send(new Uint8Array([ 0x10, 15, 0, 4,
            ...new TextEncoder().encode('MQTT'), 4, 2, 0, 60, 0, 3,
            ...new TextEncoder().encode('raw') ]));
        ws.onmessage = () => { window.answered = true; $script };
END

    wait_for { $browser->run('return window.answered || window.ended') };
    $action->();

    return wait_for { $browser->run('return window.ended') };
}
