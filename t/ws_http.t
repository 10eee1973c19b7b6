#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# MQTT over WebSocket in a location of http: the handshake and what is refused;
# nginx's own access rules, limits, TLS and logs in front of it; requests
# before it on the same connection; HTTP/2; reload, shutdown and "nginx -t".

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::Util qw/ slurp /;
use MqttTest::WebSocket qw/ frame request PING /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->certs;
$t->write_file('passwd', "user:{PLAIN}secret\n");

my $conf = $t->conf(
    main => 'worker_shutdown_timeout 5s;',
    stream => 'mqtt_max_keepalive 300;',
    http => <<'END');

    limit_conn_zone $binary_remote_addr zone=one:64k;
    log_format device '$uri $status $mqtt_client_id $mqtt_protocol '
                      '$mqtt_keepalive $mqtt_messages_in $mqtt_reason '
                      '$remote_addr "$request_completion"';
    mqtt_max_keepalive 200;

    server {
        listen 127.0.0.1:%%PORT_web%%;
        root %%TESTDIR%%;
        access_log %%TESTDIR%%/access.log device;
        mqtt_connect_timeout 500ms;
        add_header X-Server web always;
        error_page 403 /forbidden;

        location = /forbidden {
            return 200 "go away";
        }

        location /file {
            return 200 "hello";
        }

        location /ws {
            mqtt_pass test;
        }

        location /keepalive {
            mqtt_max_keepalive 100;
            mqtt_pass test;
        }

        location /denied {
            deny all;
            mqtt_pass test;
        }

        location /password {
            auth_basic test;
            auth_basic_user_file %%TESTDIR%%/passwd;
            mqtt_pass test;
        }

        location /ask {
            auth_request /answer;
            mqtt_pass test;
        }

        location /answer {
            proxy_pass http://127.0.0.1:%%PORT_http%%/mqtt;
        }

        location /limited {
            limit_conn one 2;
            mqtt_pass test;
        }

        location /origin {
            mqtt_websocket_origin same https://app.example;
            mqtt_pass test;
        }

        location /if {
            if ($arg_token = x) {
                set $token x;
            }

            limit_except GET {
                deny all;
            }

            mqtt_pass test;
        }

        location /real {
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Forwarded-For;
            mqtt_pass test;
        }

        location /proxied {
            proxy_pass http://127.0.0.1:%%PORT_mqtt%%/mqtt;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }

        location /odd {
            lingering_close always;
            post_action /file;
            mirror /silent;
            mqtt_pass test;
        }

        location /silent {
            proxy_pass http://127.0.0.1:%%PORT_silent%%;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_tls%% ssl http2;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;

        location /mqtt {
            mqtt_pass test;
        }
    }
END

$t->write_file_expand('nginx.conf', $conf);

# nginx's own

$t->allow_log(qr{^src/http/\S+\ runtime\ error:
                 \ (?:load\ of|store\ to)\ misaligned}x);
$t->run;

# the answer is nginx's

my ($s, $response) = ask(request(path => '/ws?a=b'));

like($response, qr{^HTTP/1\.1\ 101\ Switching\ Protocols\r\nServer:\ nginx.*
                   ^Connection:\ upgrade\r\n}msx, 'status 101');
like($response, qr/^Upgrade: websocket\r$/m, 'Upgrade');
like($response, qr/^Sec-WebSocket-Protocol: mqtt\r$/m, 'sub-protocol');
like($response, qr/^X-Server: web\r$/m, 'add_header');
unlike($response, qr/^(?:Content-|Transfer-|Sec-WebSocket-Ext)/m,
       'no body, no extension');

# MQTT as on a stream listener, together with its clients

my %web = (port => 'web', ws => { path => '/ws' });

for my $version (3, 4, 5) {
    my $c = $t->client(%web, version => $version);

    $c->subscribe('a/#' => 1);
    $t->client->publish('a/b', "to $version", qos => 1);
    is(($c->recv_message // {})->{payload}, "to $version",
       "MQTT $version: a message from a client of stream");

    $c->send_wire(frame('x', opcode => PING));
    $c->expect_alive("MQTT $version: alive");
    is("@{[ $c->ws->pongs ]}", 'x', "MQTT $version: a pong");

    $c->send('DISCONNECT');
    $c->expect_close("MQTT $version: the end");
    is($c->ws->close_code, 1000, "MQTT $version: Close");
}

my $large = join '', map { pack 'N', $_ } 1 .. 100_000;
my $c = $t->client(%web);

$c->subscribe('large' => 1);
$c->publish('large', $large, qos => 1);
ok(($c->recv_message // {})->{payload} eq $large, 'a large message');

my $other = $t->client(client_id => $c->client_id);
$c->recv_wanted(sub { $_[0]{type} eq 'PUBACK' });
$c->expect_disconnect(0x8e, 'taken over by a client of stream');
is($c->ws->close_code, 1008, 'Close 1008');

# settings are inherited: http, server, location

for my $row ([ mqtt => undef, 300 ], [ web => '/ws', 200 ],
             [ web => '/keepalive', 100 ])
{
    my ($port, $path, $seconds) = @$row;

    $c = $t->client(port => $port, keep_alive => 1000,
                    $path ? (ws => { path => $path }) : ());

    my %props = map { @$_[0, 1] } @{ $c->connack->{props} };

    is($props{server_keep_alive}, $seconds,
       ($path // 'stream') . ': inherited');
}

# [ what, request, status, header ]

my @refused = (
    [ 'a browser', "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", 426,
      qr/^Connection: Upgrade\r\nUpgrade: websocket\r$/m ],
    [ 'another version', request(path => '/ws', headers =>
        { 'Sec-WebSocket-Version' => 8 }), 426,
      qr/^Sec-WebSocket-Version: 13\r$/m ],
    [ 'no sub-protocol', request(path => '/ws', protocol => 'chat'), 400 ],
    [ 'no key', request(path => '/ws', key => 'x'), 400 ],
    [ 'two keys', request(path => '/ws', key => [ 'x' x 24, 'y' x 24 ]),
      400 ],
    [ 'POST', request(path => '/ws', method => 'POST',
                      headers => { 'Content-Length' => 0 }), 405,
      qr/^Allow: GET\r$/m ],
    [ 'HEAD', request(path => '/ws', method => 'HEAD'), 405 ],
    [ 'a body', request(path => '/ws', headers =>
        { 'Content-Length' => 3 }) . 'abc', 400 ],
    [ 'HTTP/1.0', request(path => '/ws', http => 'HTTP/1.0'), 505 ],
    [ 'a page of another origin', request(path => '/origin',
        origin => 'https://evil.example'), 403, qr/\r\n\r\ngo away\z/ ],
    [ 'deny', request(path => '/denied'), 403 ],
    [ 'no password', request(path => '/password'), 401 ],
    [ 'limit_except', request(path => '/if', method => 'POST'), 403 ],
    [ 'another location', request(path => '/nothing'), 404 ],
);

my $count = $t->total('websockets_refused');

for my $row (@refused) {
    my ($name, $request, $status, $header) = @$row;

    ($s, $response) = ask($request);

    like($response, qr{^HTTP/1\.1 $status }, "$name: $status")
        or diag($response);
    like($response, $header, "$name: header") if $header;
}

is($t->total('websockets_refused') - $count, @refused - 4,
   'those of ours are counted');

# and what is let in

$t->client(port => 'web', ws => { path => '/origin',
                                  origin => 'https://app.example' })
  ->expect_alive('a page of the right origin');
$t->client(port => 'web', ws => { path => '/origin', host => 'a.example:80',
                                  origin => 'http://a.example:80' })
  ->expect_alive('a page of the same origin');
$t->client(port => 'web', ws => { path => '/password', headers =>
        { Authorization => 'Basic dXNlcjpzZWNyZXQ=' } })
  ->expect_alive('the right password');
$t->client(port => 'web', ws => { path => '/ask' })
  ->expect_alive('auth_request');
$t->client(port => 'web', ws => { path => '/if?token=x' })
  ->expect_alive('"if" inside of the location');
$t->client(port => 'web', ws => { path => '/if' })
  ->expect_alive('the same if it is not');

# limits count the client, not the request

my @two = map { $t->client(port => 'web', ws => { path => '/limited' }) } 1, 2;

ok(!eval { $t->client(port => 'web', ws => { path => '/limited' }) },
   'limit_conn');
$two[0]->disconnect;
ok(wait_for(sub { eval { $two[0] = $t->client(port => 'web',
                                     ws => { path => '/limited' }) } }),
   'until one has gone');

# a connection that was used before; frames that come with the request

$s = $t->socket(port => 'web');
$s->send_raw("GET /file HTTP/1.1\r\nHost: a\r\n\r\n" x 2
             . request(path => '/ws')
             . frame(gen(CONNECT => 5, client_id => 'piped'))
             . frame('y', opcode => PING) . frame(gen('PINGREQ', 5)));
ok(wait_for { $s->fill; $s->{in} =~ s/^.*HTTP\/1.1 101 .*?\r\n\r\n//s },
   'behind other requests');
$s->{ws} = MqttTest::WebSocket->new;
$s->{in} = $s->ws->feed($s->{in});
$s->expect('CONNACK', -name => 'CONNECT in the same segment');
$s->expect('PINGRESP', -name => 'and more');
is("@{[ $s->ws->pongs ]}", 'y', 'and a ping');

# time-out, FIN and RST, in front of CONNECT and behind it

my $timeouts = $t->total('connect_timeouts');

$s = $t->socket(%web);
$s->expect_close('no CONNECT');
is($t->total('connect_timeouts'), $timeouts + 1, 'is a time-out');

$t->socket(%web)->close;
$t->socket(%web)->abort;
$t->client(%web)->close;
$t->client(%web)->abort;

$c = $t->client(%web);
$c->send_wire(frame('text', opcode => 1));
$c->expect_disconnect(0x82, 'a text frame');
is($c->ws->close_code, 1003, 'Close 1003');

# directives that would do something to the connection, and a subrequest that
# is still waiting when it ends

my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
                                   LocalPort => $t->port('silent'))
    or die "listen: $!\n";

$c = $t->client(port => 'web', client_id => 'odd', ws => { path => '/odd' });
$c->expect_alive('lingering_close, post_action, mirror');
my $mirrored = $silent->accept;
$c->send('DISCONNECT');
$c->expect_close('and the end');

# a proxy in front of a listener of stream

$c = $t->client(port => 'web', ws => { path => '/proxied' });
$c->subscribe('large' => 1);
$c->publish('large', $large, qos => 1);
ok(($c->recv_message // {})->{payload} eq $large, 'through proxy_pass');
$c->recv_wanted(sub { $_[0]{type} eq 'PUBACK' });
$c->send('DISCONNECT');
$c->expect_close('to the end');
is($c->ws->close_code, 1000, 'Close');

# TLS; HTTP/2 has no Upgrade

SKIP: {
    skip 'no IO::Socket::SSL', 3 if !eval { require IO::Socket::SSL };

    $c = $t->client(port => 'tls', ssl => 1, ws => 1);
    $c->subscribe('large' => 1);
    $c->publish('large', $large, qos => 1);
    ok(($c->recv_message // {})->{payload} eq $large, 'TLS');

    $c->send_raw(gen('CONNECT', 5, client_id => 'again'));
    $c->recv_wanted(sub { $_[0]{type} eq 'PUBACK' });
    $c->expect_disconnect(0x82, 'TLS: the end');
    is($c->ws->close_code, 1008, 'TLS: Close');
}

SKIP: {
    my $port = $t->port('tls');
    my $got = `curl -sk --http2 -o /dev/null \\
                    -w '%{http_version} %{http_code}' \\
                    https://127.0.0.1:$port/mqtt`;

    skip 'no curl with HTTP/2', 1 if $got !~ /^2/;

    is($got, '2 505', 'HTTP/2 is refused');
}

# the access log, written at the end

$t->client(port => 'web', client_id => 'logged', version => 4,
           keep_alive => 77,
           ws => { path => '/real',
                   headers => { 'X-Forwarded-For' => '192.0.2.6' } })
  ->disconnect;
$c = $t->client(%web, client_id => 'busy');
$c->publish_wait('x', $_, qos => 1) for 1 .. 3;

unlike(slurp($t->dir . '/access.log'), qr/ busy /, 'nothing while it is open');
$c->send('DISCONNECT', reason => 4);
$c->expect_close;

ok(wait_for(sub { slurp($t->dir . '/access.log') =~ / logged .* busy /s }),
   'a line at the end');

my $log = slurp($t->dir . '/access.log');

like($log, qr{^/real 101 logged 3\.1\.1 77 0 0x00 192\.0\.2\.6 "OK"$}m,
     'with the address of X-Forwarded-For');
like($log, qr{^/odd 101 odd 5\.0 60 0 0x00 127\.0\.0\.1 "OK"$}m,
     'also where nginx might have done something else at the end');
like($log, qr{^/ws 101 busy 5\.0 60 3 0x04 127\.0\.0\.1 "OK"$}m,
     'with variables');
like($log, qr{^/ws 426 - - - - - 127\.0\.0\.1 "OK"$}m,
     'a request that was refused has none');
like($t->error_log, qr/client\ connected,\ client:\ 127.*request:\ "GET\ \/ws
                       .*gateway:\ "test",\ client\ id:\ "busy"/x,
     'the error log');

ok(wait_for { MqttTest::Client->close_all; $t->total('websockets') == 0 },
   'all are gone');

# reload: the old worker drains

$c = $t->client(%web);
ok($t->reload, 'reload');
$c->expect_disconnect(0x8b, 'clients are told so');
is($c->ws->close_code, 1001, 'Close 1001');
$c->close;

ok(wait_for(sub { !$t->old_worker_pids }), 'the old worker has gone');

# shutdown; who does not close is closed by worker_shutdown_timeout

$c = $t->client(%web);
$s = $t->socket(%web);
ok($t->stop, 'graceful stop');
$c->expect_disconnect(0x8b, 'clients are told so');
$s->expect_close('the others are closed');

$t->run;
$c = $t->client(%web);
$t->stop_fast;
$c->expect_close('stop');

# nginx -t

my @wrong = (
    [ 'mqtt_pass test; mqtt_pass test;', qr/directive is duplicate/ ],
    [ 'mqtt_pass "";', qr/needs the name of a gateway/ ],
    [ 'mqtt_pass absent;', qr/unknown mqtt_gateway "absent"/ ],
    [ 'proxy_pass http://127.0.0.1; mqtt_pass test;',
      qr/"mqtt_pass" directive conflicts with another handler/ ],
    [ 'mqtt_pass test; proxy_pass http://127.0.0.1;',
      qr/"mqtt_pass" conflicts with another handler of this location/ ],
    [ 'mqtt_pass test; mqtt_status;',
      qr/"mqtt_pass" conflicts with another handler of this location/ ],
    [ 'mqtt_max_packet_size 1;', qr/must be at least 128 bytes/ ],
    [ 'mqtt_websocket_origin here;', qr/invalid origin "here"/ ],
    [ 'mqtt_websocket off;', qr/unknown directive|not allowed here/ ],
);

for my $row (@wrong) {
    my ($text, $re) = @$row;

    my ($output, $rc) = $t->nginx_t_conf(
        http => "server { listen 127.0.0.1:1;\nlocation /x { $text }\n}");
    my $line = $t->line_of(qr/\Q$text\E/);

    ok($rc && $output =~ /$re.* in \S+test\.conf:$line$/m, $text)
        or diag($output);
}

my $swapped = $t->conf(http => <<'END');
    server {
        listen 127.0.0.1:1;
        location /ws { mqtt_pass test; }
    }
END

ok($swapped =~ s/^(stream \{.*^\}\n)\n(http \{.*^\}\n)/$2$1/ms,
   'http before stream');

my ($output, $rc) = $t->nginx_t($swapped);

is($rc, 0, 'the order of blocks does not matter') or diag($output);

done_testing();

###############################################################################

# a connection and the head of the answer, with the body where it is closed

sub ask {
    my ($bytes) = @_;

    my $client = $t->socket(port => 'web');

    $client->send_raw($bytes);

    wait_for {
        $client->fill;

        my ($head, $body) = split /\r\n\r\n/, $client->{in}, 2;
        my ($length) = ($head // '') =~ /^Content-Length: (\d+)\r?$/m;

        $client->{eof}
            || defined $body && length $body >= ($bytes =~ /^HEAD/
                                                 ? 0 : $length // 0);
    };

    return ($client, $client->{in});
}
