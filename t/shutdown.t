#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The end of nginx: QUIT tells the clients and waits for what Kafka has not
# acknowledged yet, TERM does not, worker_shutdown_timeout ends the waiting.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 35;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $topic = $kafka->topic('shutdown');

my %conf = (kafka => 1, workers => 2,
            gateway => "topic up kafka=$topic; kafka_set linger.ms 500;");

# QUIT without clients, with clients

$t->write_conf(%conf);
$t->run;
ok($t->stop, 'QUIT without clients');

$t->run;

my @clients = map { $t->client(version => $_, client_id => "quit-$_") }
              3, 4, 5;
my $half = $t->socket;

$_->publish('up/quit', 'quit', qos => 1, packet_id => 7) for @clients;

ok(wait_for { $t->total('kafka_produced') == 3 }, 'publishes on their way');

$t->signal('QUIT');

for my $c (@clients) {
    $c->expect('PUBACK', packet_id => 7, -name => 'acknowledged first');
    $c->expect_disconnect(0x8b, 'told, or closed');
}

$half->expect_close('closed before CONNECT');

ok($t->stop, 'QUIT with clients');
is(records('quit'), 3, 'their publishes are in Kafka');

# those that had to wait are not disconnected all at once either

$t->write_conf(%conf, workers => 1, gateway => <<"END");
    topic up kafka=$topic;
    kafka_set linger.ms 1000;
    drain_rate 20;
END

$t->run;

@clients = map { $t->client } 1 .. 20;

$_->publish('up/pace', 'pace', qos => 1, packet_id => 7) for @clients;
ok(wait_for { $t->total('kafka_produced') == 20 }, 'publishes on their way');

my (@ends, %told);

$t->signal('QUIT');

MqttTest::Client->pump(\@clients, timeout => 30, on_packet => sub {
    my ($c, $packet) = @_;

    $told{$packet->{type}}++;
    push @ends, now() if $packet->{type} eq 'DISCONNECT';
});

is_deeply(\%told, { PUBACK => 20, DISCONNECT => 20 },
          'all are acknowledged and told');
cmp_ok($ends[-1] - $ends[0], '>', 0.3, 'at the pace of drain_rate');

$_->close for @clients;
ok($t->stop, 'stopped');

# TERM

$t->write_conf(%conf);
$t->run;

@clients = map { $t->client(version => $_, client_id => "term-$_", clean => 0,
                            $_ == 5 ? (props => [ [ session_expiry => 100 ] ])
                                    : ()) } 3, 4, 5;
$half = $t->socket;

$_->publish('up/term', 'term', qos => 1, packet_id => 7) for @clients;

ok(wait_for { $t->total('kafka_produced') >= 3 }, 'publishes on their way');

ok($t->stop_fast, 'TERM with clients');

# what Kafka has not acknowledged is not acknowledged

for my $c (@clients) {
    my $packet = $c->recv_wanted(sub { $_[0]{type} eq 'PUBACK' });

    ok(!$packet || records('term') == 3, 'no acknowledgement without record');
    ok($c->{eof}, 'closed');
}

$half->expect_close('closed before CONNECT');

# their sessions have outlived it

$t->run;

for my $version (4, 5) {
    my $c = $t->client(version => $version, client_id => "term-$version",
                       clean => 0, $version == 5
                       ? (props => [ [ session_expiry => 100 ] ]) : ());

    is($c->connack->{session_present}, 1, "$version: session present");
    $c->disconnect;
}

ok($t->stop, 'stopped');

# worker_shutdown_timeout, with a Kafka that never answers

my $nobody = $t->port('nobody');

$t->write_conf(
    main    => 'worker_shutdown_timeout 500ms;',
    gateway => "topic up kafka=$topic; kafka 127.0.0.1:$nobody;",
    server  => 'mqtt_receive_maximum 1000;',
);
$t->run;

@clients = map { $t->client } 1 .. 3;

$_->publish('up/timeout', 'timeout', qos => 1, packet_id => 7) for @clients;
ok(wait_for { $t->total('kafka_queue_messages') == 3 }, 'publishes wait');

# even what needs no Kafka waits for its turn

$clients[0]->publish('other', 'x', qos => 1, packet_id => 8);
$clients[0]->expect_alive;

ok($t->stop, 'QUIT with worker_shutdown_timeout');

is(scalar(grep { !$_->recv_wanted(sub { $_[0]{type} eq 'PUBACK' }) }
               @clients), 3, 'nothing is acknowledged');
is(scalar(grep { $_->{eof} } @clients), 3, 'all are closed');

# TERM in the same state

$t->run;

my $c = $t->client;
$c->publish('up/timeout', 'timeout', qos => 1, packet_id => 7);
ok(wait_for { $t->total('kafka_queue_messages') == 1 }, 'a publish waits');
ok($t->stop_fast, 'TERM without Kafka');
$c->expect_close('closed');

###############################################################################

sub records {
    my ($payload) = @_;

    return scalar grep { $_->{payload} eq $payload }
                       $kafka->records($topic, count => 3);
}

###############################################################################
