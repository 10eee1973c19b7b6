#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Reload while clients publish and Kafka stands still.  The old workers wait
# for what they have taken: when Kafka is back their clients get the
# acknowledgements and are then sent away.  If it does not come back, they end
# with worker_shutdown_timeout, and what is lost then was never acknowledged.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 23;

use constant { DEVICES => 20, EACH => 200 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('reload', partitions => 3);

my %conf = (kafka => 1, workers => 2, gateway => "topic reload kafka=$topic;");

$t->write_conf(%conf);
$t->run;

# nobody waits for these but the worker

$kafka->pause;

my $c = $t->client(client_id => 'left');
$c->publish('reload', $_, qos => $_ % 2) for 0 .. 9;
$c->disconnect;

ok(wait_for { $t->total('clients') == 0 }, 'a client has left');
ok($t->reload && old_begin(1), 'the old worker waits for its records');

$kafka->resume;

old_end();

is(join(' ', map { $_->{payload} } $kafka->records($topic)),
   join(' ', 0 .. 9), 'which are in Kafka then');

# Kafka comes back

my @clients = devices();
my @old = $t->worker_pids;
my $before = $t->total('messages_in_qos1');
my ($taken, $reloaded);

# the old workers do not know the timeout yet

$t->write_conf(%conf, main => 'worker_shutdown_timeout 1s;');

publish(\@clients, 0, sub {
    $taken = $t->total('messages_in_qos1') - $before;

    ok($t->reload, 'reloaded');
    ok(old_begin(2), 'old workers wait for Kafka');

    $reloaded = $t->client(client_id => 'new');
    $reloaded->expect_alive('the new ones serve');
    is(scalar(grep { $_->fill; $_->closed } @clients), 0,
       'clients that are owed something are kept');

    $kafka->resume;
});

ok(old_end(), 'old workers end');

is(scalar(grep { $_->closed } map { drained($_) } @clients), DEVICES,
   'their clients were disconnected');

my %acked = map { $_->client_id => scalar @{ $_->acked } } @clients;
my $total = 0;
$total += $_ for values %acked;

cmp_ok($total, '>=', $taken, 'what was taken was acknowledged first');
cmp_ok($total, '<', DEVICES * EACH, 'the reload was under load');

my %there;
push @{ $there{$_->{key}} }, $_->{payload} for $kafka->records($topic);

my @differ = grep { "@{ $there{$_} }" ne join ' ', 0 .. $acked{$_} - 1 }
             keys %acked;
is(@differ, 0, 'what was acknowledged, and only that, is in Kafka');

# Kafka does not come back in time

@clients = devices();

publish(\@clients, 1000, sub {
    ok($t->reload, 'reloaded again');
    ok(old_begin(2), 'old workers wait');
    ok(old_end(), 'and end without Kafka');
    like($t->error_log, qr/unacknowledged record.* are given up/, 'logged');
});

$kafka->resume;

my %seen;

for my $r ($kafka->records($topic)) {
    $seen{$r->{key}}{$r->{payload}} = 1;
}

my @missing = grep { my $c = $_;
                     grep { !$seen{$c->client_id}{$_ + 1000} } @{ $c->acked } }
              @clients;

is(@missing, 0, 'what was acknowledged is in Kafka');
cmp_ok(scalar(map { @{ $_->acked } } @clients), '<', DEVICES * EACH,
       'the second reload was under load');

$reloaded->close;

# all goes on

@clients = devices();

is(MqttTest::Client->publish_many(\@clients, count => 10, topic => 'reload'),
   DEVICES * 10, 'the new workers publish');


sub old_begin {
    my ($n) = @_;

    return wait_for { $t->old_worker_pids == $n };
}


sub old_end {
    return wait_for { $t->old_worker_pids == 0 } 20;
}


sub devices {
    return map {
        $t->client(version => $_ % 2 ? 4 : 5, client_id => "device-$_")
    } 1 .. DEVICES;
}


# Publishes until all is acknowledged or the clients are closed.  Under load
# Kafka is stopped, and $then called when all clients wait for it.

sub publish {
    my ($clients, $from, $then) = @_;

    my ($paused, $last);
    my $looked = 0;

    MqttTest::Client->publish_many($clients,
        count => EACH, topic => 'reload', payload => sub { $from + $_[1] },
        until => sub {
            return 0 if !$then || now() - $looked < 0.05;

            if (!$paused) {
                my $acked = map { @{ $_->acked } } @$clients;

                $kafka->pause if $paused = $acked >= DEVICES;
                return 0;
            }

            $looked = now();

            # two looks give the same: all that is not acknowledged waits

            my $waiting = MqttTest::Client->unanswered($clients);
            my $queued = $t->total('kafka_queue_messages');

            if ($waiting == $queued && $queued == ($last // -1)) {
                cmp_ok($queued, '>', 0, 'records wait');
                $then->();
                undef $then;
            }

            $last = $queued;

            return 0;
        });

    ok(!$then, 'Kafka was stopped under load');
}


# what comes after the acknowledgements

sub drained {
    my ($c) = @_;

    return $c if $c->version == 4;

    my $packet = $c->recv;

    return $packet && $packet->{type} eq 'DISCONNECT'
           && $packet->{reason} == 0x8b ? $c : ();
}

###############################################################################
