#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The variables $mqtt_* in the access log of the stream module, at the end of
# connections of every kind, and in map.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen prop /;
use MqttTest::Util qw/ slurp /;
use Test::More tests => 22;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    stream => <<'END',
        log_format mqtt '$mqtt_client_id|$mqtt_username|$mqtt_protocol|'
                        '$mqtt_keepalive|$mqtt_session|$mqtt_messages_in|'
                        '$mqtt_messages_out|$mqtt_bytes_in|$mqtt_bytes_out|'
                        '$mqtt_reason';
        log_format nginx '$bytes_received $bytes_sent $status';

        map $mqtt_client_id $logged {
            ~^map-  1;
            default 0;
        }

        log_format short '$mqtt_client_id';
END
    server => <<'END',
        access_log %%TESTDIR%%/mqtt.log mqtt;
        access_log %%TESTDIR%%/nginx.log nginx;
        access_log %%TESTDIR%%/map.log short if=$logged;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_capped%%;
        mqtt_pass test;
        mqtt_max_keepalive 10s;
        access_log %%TESTDIR%%/mqtt.log mqtt;
        access_log %%TESTDIR%%/nginx.log nginx;
    }
END

$t->run;

my $expiry = [ [ session_expiry => 10 ] ];
my $lines = 0;

# of each version: [ CONNECT, packets, the end ], and the line

for my $case (
    [ 3, { client_id => 'three', keep_alive => 10 },
      'three||3.1|10|clean|0|0|IN|OUT|0x00' ],
    [ 4, { client_id => 'four', clean => 0, username => 'user' },
      'four|user|3.1.1|60|persistent|0|0|IN|OUT|0x00' ],
    [ 5, { client_id => 'five', clean => 0, keep_alive => 0 },
      'five||5.0|0|clean|0|0|IN|OUT|0x00' ],
    [ 5, { client_id => 'expiry', props => $expiry, username => "u\xc3\xa9",
           password => 'secret' },
      'expiry|u\xC3\xA9|5.0|60|persistent|0|0|IN|OUT|0x00' ],
    [ 4, { client_id => 'capped', keep_alive => 100 },
      'capped||3.1.1|10|clean|0|0|IN|OUT|0x00', 'capped' ],
    [ 5, { client_id => 'map-1' },
      'map-1||5.0|60|clean|0|0|IN|OUT|0x00' ])
{
    my ($version, $connect, $line, $port) = @$case;

    my $c = $t->client(version => $version, port => $port // 'mqtt',
                       %$connect);
    $c->disconnect;

    is(last_line(), with_bytes($c, $line, gen(CONNECT => $version, %$connect),
                               gen(DISCONNECT => $version)),
       $connect->{client_id});
}

# messages both ways

my $c = $t->client(client_id => 'messages');
my $in = gen(CONNECT => 5, client_id => 'messages');
my $out = length $c->connack->{raw};

$c->queue(SUBSCRIBE => packet_id => 1, filters => [ [ 'm', 0 ] ]);
$c->queue(PUBLISH => topic => 'm', payload => $_) for 1 .. 5;
$c->queue(PUBLISH => topic => 'n', qos => 1, packet_id => 2);
$c->queue(DISCONNECT => reason => 4);
$in .= $c->{out};
$c->flush;

while (my $packet = $c->recv) {
    $out += length $packet->{raw};
}

my @field = split /\|/, last_line();

is($field[5], 6, 'messages in');
is($field[6], 5, 'messages out');
is($field[7], length $in, 'bytes in');
is($field[8], $out, 'bytes out');
is($field[9], '0x04', 'the reason that the client gave');

# other ends

my $taker;
my %ends = (
    '0x80' => sub { $_[0]->close },
    '0x81' => sub { $_[0]->send_raw("\0\0") },
    '0x82' => sub { $_[0]->send('CONNECT') },
    '0x8e' => sub { $taker = $t->client(client_id => $_[0]->client_id) },
);

for my $reason (sort keys %ends) {
    $c = $t->client(client_id => "end-$reason", version => 4);
    $ends{$reason}->($c);

    1 while $c->recv;
    $c->close;

    is((split /\|/, last_line())[9], $reason, "reason $reason");
}

$taker->disconnect;
last_line();

# a client that was refused, one that was given its id, one that is none

$c = $t->socket;
$c->connect(client_id => 'refused', props => [ [ auth_method => 'x' ] ]);
$c->close;
like(last_line(), qr/^(?:refused)?\|\|5\.0\|.*\|0x8c$/, 'a refused CONNECT');

$c = $t->client(client_id => '');
my $id = prop($c->connack, 'assigned_client_id');
$c->disconnect;
like(last_line(), qr/^\Q$id\E\|/, 'an assigned client id');

$t->socket->close;
is(last_line(), '-|' x 9 . '-', 'nothing is known before CONNECT');

# beside nginx's own

my @own = split /\n/, slurp($t->dir . '/nginx.log');
my @ours = split /\n/, slurp($t->dir . '/mqtt.log');

is(@own, @ours, 'both logs have all connections');
is_deeply([ map { join ' ', (split /\|/)[7, 8], 200 } grep { !/^-/ } @ours ],
          [ grep { !/^0 0 / } @own ],
          '$bytes_received, $bytes_sent and $status are the same');

is(slurp($t->dir . '/map.log'), "map-1\n", 'a variable in map');

is(scalar(grep { /secret/ } @ours, $t->error_log), 0, 'no password anywhere');

###############################################################################

# the line of the connection that ends now

sub last_line {
    my @log;

    $lines++;
    wait_for { (@log = split /\n/, slurp($t->dir . '/mqtt.log')) >= $lines };

    return $log[$lines - 1] // 'no line';
}


sub with_bytes {
    my ($client, $line, @packets) = @_;

    my $received = length join '', @packets;
    my $sent = length $client->connack->{raw};

    return $line =~ s/IN/$received/r =~ s/OUT/$sent/r;
}

###############################################################################
