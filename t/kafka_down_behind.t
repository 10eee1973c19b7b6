#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The back end is faster than devices: whoever acknowledges is waited for, by
# both workers, and loses nothing; whoever does not is closed in the end and
# does not hold up the others.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use POSIX ();
use Test::More tests => 13;

use constant { BURST => 5000, BIG => 300 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => 2);

$t->write_conf(kafka => 1, workers => 2,
               server => 'mqtt_max_queued 500; mqtt_max_queued_size 1m;',
               gateway => "topic command kafka=$topic downlink;");
$t->run;

ok($t->wait_total(kafka_partitions => 2, 20), 'assigned');

my @c = map { $t->client(client_id => "c$_") } 1 .. 8;
my $busy = grep { $_->{counters}{clients} }
           @{ $t->status->{gateways}{test}{workers} };

is($busy, 2, 'clients on both workers');

$_->subscribe('command/#' => 1) for @c;

# many small ones; the default would close whoever has 600 of them to read

my %got = burst(@c, map { { payload => $_, partition => 1,
                            headers => [ [ mqttSecondTopic => '/a' ] ] } }
                    1 .. BURST);

is(grep({ $_ == BURST } values %got), @c, 'everybody got all of them');
cmp_ok($t->total('kafka_pauses'), '>', 0, 'consuming was paused');

# few large ones

%got = burst(@c, map { { payload => "$_ " . 'x' x 20000, partition => 1,
                         headers => [ [ mqttSecondTopic => '/b' ] ] } }
                 1 .. BIG);

is(grep({ $_ == BIG } values %got), @c, 'and all of the large ones');

# P2P, to a client of either worker

%got = burst(@c, map { { payload => $_, partition => 0, headers => [
                         [ mqttSecondTopic => '/p2p/c' . ($_ % 8 + 1) ] ] } }
                 1 .. 2 * BURST);

is(grep({ $_ == 2 * BURST / 8 } values %got), @c, 'P2P as well');
is($t->total('slow_clients'), 0, 'nobody was too slow');
is($t->total('messages_out_dropped'), 0, 'nothing was dropped');

###############################################################################
# one that does not acknowledge

my $dead = $t->client(client_id => 'dead', auto_ack => 0);
$dead->subscribe('command/c' => 1);

my $started = now();

%got = burst(@c, map { { payload => $_, partition => 0,
                         headers => [ [ mqttSecondTopic => '/c' ] ] } }
                 1 .. 2000);

is(grep({ $_ == 2000 } values %got), @c, 'the others got everything');
ok($t->wait_total(slow_clients => 1, 10), 'it was too slow');
like($t->error_log, qr/client is too slow, 500 messages wait.*"dead"/,
     'it was closed');
is($t->total('clients'), @c, 'nobody else');
ok($t->wait_total(kafka_inflight => 0, 10), 'all is done');

note(sprintf '%.1f s for the last part', now() - $started);

###############################################################################

sub burst {
    my (@args) = @_;

    my @clients = grep { ref ne 'HASH' } @args;
    my @records = grep { ref eq 'HASH' } @args;
    my $to = $records[0]{headers}[0][1] =~ /p2p/ ? 1 : @clients;
    my $total = 0;
    my %got;

    # they are read while they are produced

    my $writer = fork // die "fork: $!\n";

    if (!$writer) {
        $kafka->write($topic, @records);
        POSIX::_exit(0);
    }

    MqttTest::Client->pump(\@clients, timeout => 60,
        on_packet => sub {
            my ($c, $packet) = @_;

            return if $packet->{type} ne 'PUBLISH';

            $total++;
            $got{$c->client_id}++;
        },
        until => sub { $total >= @records * $to });

    waitpid $writer, 0;

    return %got;
}

###############################################################################
