#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# An external service: what it is asked, every kind of answer, time-outs, the
# cache and its bounds, clients that leave; nginx -t.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP qw/ decode_json encode_json /;
use MqttTest;
use MqttTest::Auth qw/ reason /;
use MqttTest::Util qw/ slurp append /;
use POSIX ();
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $dir = $t->dir;
my $gone = $t->port('gone');
my $service = IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
                                    LocalAddr => "127.0.0.1:0") or die $!;
my $port = $service->sockport;

$t->write_file('asked', '');

my $pid = fork // die;

if (!$pid) {
    serve();
    POSIX::_exit(0);
}

my %gateways = (
    mqtt   => "auth http http://127.0.0.1:$port/auth?x=1 timeout=1s;",
    cached => "auth http http://127.0.0.1:$port cache=2s entries=3;",
    gone   => "auth http http://127.0.0.1:$gone/;",
);

$t->write_file_expand('nginx.conf', conf(%gateways));
$t->run;

my @json = ('Content-Type: application/json');

###############################################################################
# the question, and answers

my $r = reason($t, 'mqtt', client_id => 'a"b', username => 'allow',
               password => "p\"\x{c3}\x{a4}");

is($r, 0, 'allowed');

my ($asked) = asked();

like($asked->{head}, qr{^POST /auth\?x=1 HTTP/1\.1\r\nHost: 127.0.0.1:$port\r},
     'POST with the URI and the host');

my $question = decode_json($asked->{body});

is($question->{clientId}, 'a"b', 'client id');
is($question->{username}, 'allow', 'user name');
is($question->{password}, "p\"\x{e4}", 'password');
is($question->{address}, '127.0.0.1', 'address');
is($question->{gateway}, 'mqtt', 'gateway');

for my $case (
    [ allow => 0 ], [ chunked => 0 ], [ slow => 0 ], [ eof => 0 ],
    [ bytes => 0 ], [ large => 0x88 ], [ deny => 0x86 ], [ maybe => 0x88 ],
    [ empty => 0x88 ], [ array => 0x88 ], [ nojson => 0x88 ],
    [ 'true' => 0x88 ], [ 404 => 0x88 ], [ 500 => 0x88 ], [ 302 => 0x88 ],
    [ nohttp => 0x88 ], [ cut => 0x88 ], [ cutchunk => 0x88 ],
    [ badchunk => 0x88 ], [ close => 0x88 ], [ silent => 0x88 ],
    [ badlength => 0x88 ], [ badresources => 0x88 ], [ badactions => 0x88 ],
    [ badname => 0x88 ], [ longname => 0x88 ],
) {
    my ($user, $reason) = @$case;

    is(reason($t, 'mqtt', client_id => 'c', username => $user,
              password => 'x'), $reason, "answer: $user");
}

is(reason($t, 'mqtt', client_id => 'c', username => 'allow',
          password => "\xff"), 0x86, 'a password that is no UTF-8');
is(reason($t, 'mqtt', client_id => 'c'), 0x86, 'no user name: asked as well');
is(reason($t, 'mqtt', client_id => 'c', username => 'allow', version => 4), 0,
   '3.1.1');
is(reason($t, 'mqtt', client_id => 'c', username => 'deny', version => 4), 4,
   '3.1.1: denied');
is(reason($t, 'gone', client_id => 'c', username => 'allow'), 0x88,
   'nobody listens: refused');

# what it says of permissions and of the name

my $c = $t->client(client_id => 'c', username => 'limited');
is($c->publish_wait('fleet/a', 'x', qos => 1)->{reason}, 0x10, 'publish');
is($c->publish_wait('a', 'x', qos => 1)->{reason}, 0x87, 'not elsewhere');
$c->disconnect;

$c = $t->client(client_id => 'c', username => 'renamed');
is($c->publish_wait('a', 'x', qos => 1)->{reason}, 0x10, 'renamed');
$c->disconnect;
ok(wait_for { slurp("$dir/access.log") =~ /^c somebody$/m },
   'the user name is what the service says');

###############################################################################
# the cache

asked();

my @who = (client_id => 'c', username => 'allow', password => 'secret1');

is(reason($t, 'cached', @who), 0, 'asked');
is(reason($t, 'cached', @who), 0, 'remembered') for 1 .. 3;
is(scalar(asked()), 1, 'asked once');

is(reason($t, 'cached', @who, password => 'secret2'), 0, 'another password');
is(reason($t, 'cached', @who, client_id => 'd'), 0, 'another client');
is(scalar(asked()), 2, 'asked again');

is(reason($t, 'cached', client_id => 'c', username => 'deny'), 0x86, 'denied')
    for 1 .. 2;
is(scalar(asked()), 1, 'that is remembered, too');

is(reason($t, 'cached', @who), 0, 'the oldest was forgotten');
is(scalar(asked()), 1, 'for want of room');

is(reason($t, 'cached', client_id => 'c', username => '500'), 0x88, 'an error')
    for 1 .. 2;
is(scalar(asked()), 2, 'is not remembered');

ok((wait_for { reason($t, 'cached', @who); asked() > 0 } 6),
   'an answer is asked for again after its time');

###############################################################################
# clients that leave, many at once

my @many = map { my $s = $t->socket;
                 $s->send(CONNECT => client_id => "m$_", username => 'silent');
                 $s } 1 .. 50;

$_->close for @many;

@many = map { $t->socket } 1 .. 100;
$many[$_]->send(CONNECT => client_id => "n$_", username => 'slow')
    for 0 .. $#many;
is(scalar(grep { my $p = $_->recv; $p && $p->{reason} == 0 } @many), 100,
   'a hundred at once');
$_->close for @many;

$t->allow_log(qr/no answer in time|connection refused/i);

# a worker that ends while it asks

my $s = $t->socket;
$s->send(CONNECT => client_id => 'end', username => 'silent');
ok(wait_for { return asked() > 0 }, 'is asking');
ok($t->stop_fast, 'a fast stop meanwhile');

unlike($t->error_log, qr/secret/, 'no password in the log');

kill 'KILL', $pid;
waitpid $pid, 0;

###############################################################################
# nginx -t

for my $case (
    [ '', 'method "http" needs a URL' ],
    [ 'https://127.0.0.1/', 'invalid URL "https://127.0.0.1/"' ],
    [ 'http://', 'invalid URL "http://"' ],
    [ 'http://127.0.0.1:0/', 'invalid port in "http://127.0.0.1:0/"' ],
    [ 'http://127.0.0.1/ timeout=0', 'invalid parameter "timeout=0"' ],
    [ 'http://127.0.0.1/ cache=x', 'invalid parameter "cache=x"' ],
    [ 'http://127.0.0.1/ entries=0', 'invalid parameter "entries=0"' ],
    [ 'http://127.0.0.1/ x', 'invalid parameter "x"' ],
) {
    my ($args, $message) = @$case;

    my ($output) = $t->nginx_t(conf(mqtt => "auth http $args;"));
    like($output, qr/\[emerg\] .*\Q$message\E.* in \S+:\d+$/m,
         "refused: $args");
}

done_testing();

###############################################################################

# requests since the last call

sub asked {
    my @asked = map { decode_json($_) } split /\n/, slurp("$dir/asked");

    $t->write_file('asked', '');

    return @asked;
}


sub serve {
    my %open;
    my $select = IO::Select->new($service);

    while (1) {
        for my $s ($select->can_read) {
            if ($s == $service) {
                my $c = $service->accept or next;
                $select->add($c);
                $open{$c} = '';
                next;
            }

            my $n = sysread $s, $open{$s}, 65536, length $open{$s};

            if (!$n) {
                $select->remove($s);
                close $s;
                next;
            }

            my ($head, $body) = $open{$s} =~ /(.*?)\r\n\r\n(.*)/s or next;
            my ($length) = $head =~ /Content-Length: (\d+)/;

            next if length $body < $length;

            append("$dir/asked", encode_json({ head => $head,
                                               body => $body }) . "\n");

            my $user = decode_json($body)->{username} // 'deny';

            if (answer($s, $user)) {
                $select->remove($s);
                close $s;
            }
        }
    }
}


sub answer {
    my ($s, $user) = @_;

    my %text = (
        deny => '{"result":"deny"}', maybe => '{"result":"maybe"}',
        empty => '', array => '["allow"]', nojson => 'allow',
        'true' => '{"result":true}',
        limited => '{"result":"allow","resources":["fleet/+"],'
                   . '"actions":"W"}',
        renamed => '{"result":"allow","username":"somebody"}',
        badresources => '{"result":"allow","resources":["a/#/b"]}',
        badactions => '{"result":"allow","resources":["a"],"actions":"X"}',
        badname => '{"result":"allow","username":7}',
        longname => encode_json({ result => 'allow', username => 'x' x 300 }),
        large => '{"result":"allow","x":"' . 'x' x 20000 . '"}',
    );

    my $text = $text{$user} // '{"result":"allow"}';
    my $length = 'Content-Length: ' . length $text;
    my $status = $user =~ /^\d+$/ ? $user : 200;
    my $head = "HTTP/1.1 $status Whatever\r\nServer: test\r\n";
    my $chunks = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                          $text =~ /.{1,5}/g;

    return 0 if $user eq 'silent';
    return 1 if $user eq 'close';

    my $out = $user eq 'nohttp' ? "220 hello\r\n\r\n"
        : $user eq 'eof' ? "$head\r\n$text"
        : $user eq 'cut' ? "$head$length\r\n\r\n" . substr $text, 0, -1
        : $user eq 'badlength' ? "${head}Content-Length: -5\r\n\r\n$text"
        : $user =~ /chunk/ ? "${head}Transfer-Encoding: chunked\r\n\r\n"
                             . ($user eq 'badchunk' ? "zz\r\n$text" : $chunks)
                             . ($user eq 'chunked' ? "0\r\n\r\n" : '')
        : "$head$length\r\n\r\n$text";

    # in pieces

    if ($user eq 'bytes' || $user eq 'chunked') {
        for (split //, $out) {
            syswrite $s, $_;
            select undef, undef, undef, 0.001;
        }

        return 1;
    }

    select undef, undef, undef, 0.002 if $user eq 'slow';

    print $s $out;
    $s->flush;

    return 1;
}


sub conf {
    my (%gateways) = @_;

    my $text = join '', map { <<"END" } sort keys %gateways;
    mqtt_gateway $_ {
        zone 4m;
        redis %%REDIS%% prefix=$_:;
        $gateways{$_}
    }
    server { listen 127.0.0.1:%%PORT_$_%%; mqtt_pass $_; }
END

    return <<"END";
%%GLOBALS%%
worker_processes 1;
events { }
stream {
log_format who '\$mqtt_client_id \$mqtt_username';
access_log %%TESTDIR%%/access.log who;
$text
}
http {
    %%HTTP_GLOBALS%%
    server {
        listen 127.0.0.1:%%PORT_http%%;
        location /mqtt { mqtt_status; }
    }
}
END
}

###############################################################################
