#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A worker is killed at a random moment while records are on their way to
# devices: whoever stays connected gets all of them, at least once and in
# order, and nothing is committed that was not delivered.
#
# TEST_MQTT_ROUNDS is how often (50, with sanitizers 8).

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use POSIX ();
use Time::HiRes ();
use Test::More;

use constant { RECORDS => 2000, DEVICES => 8, PARTITIONS => 4 };

###############################################################################

my $sanitizers = MqttTest::version() =~ /-fsanitize/;
my $rounds = $ENV{TEST_MQTT_ROUNDS} || ($sanitizers ? 8 : 50);

$ENV{TEST_MQTT_TIMEOUT} //= 120 + 10 * $rounds;

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => PARTITIONS);

# with an interval this short nearly every delivery meets a commit

$t->write_conf(kafka => 1, workers => 2,
               server => 'mqtt_max_queued 100000;', gateway => <<"END");
    topic command kafka=$topic downlink;
    kafka_set auto.commit.interval.ms 1;
END

$t->run;

ok($t->wait_total(kafka_partitions => PARTITIONS, 20), 'assigned');

my (@device, %got, %seen, @missing, @disorder);
my $from = 0;
my $stayed = 0;
my $repeated = 0;

for my $round (1 .. $rounds) {

    # whoever has lost his worker comes again

    for my $n (0 .. DEVICES - 1) {
        next if $device[$n] && !gone($device[$n]);

        $device[$n] = $t->client(client_id => "d$n");
        $device[$n]->subscribe('command/#' => 1);
    }

    %got = ();
    %seen = ();

    my @records = map { { payload => $_, partition => $_ % PARTITIONS,
                          headers => [ [ mqttSecondTopic => "/$_" ] ] } }
                  $from .. $from + RECORDS - 1;

    my @pids = $t->worker_pids;
    my $pid = $pids[rand @pids];

    # while they are produced, consumed and delivered, which takes longer

    my $killer = fork // die "fork: $!\n";

    if (!$killer) {
        Time::HiRes::sleep(rand 0.5);
        kill 'KILL', $pid;
        POSIX::_exit(0);
    }

    $kafka->write($topic, @records);

    my $on_packet = sub {
        my ($c, $packet) = @_;

        return if $packet->{type} ne 'PUBLISH';

        # some of the last round may come again

        if ($packet->{payload} < $from) {
            $repeated++;
            return;
        }

        push @{ $got{$c->client_id} }, $packet->{payload};
        $seen{$c->client_id}{$packet->{payload}} = 1;
    };

    waitpid $killer, 0;
    $t->kill_worker($pid);

    MqttTest::Client->pump(\@device, timeout => 60, on_packet => $on_packet,
        until => sub {
            my @alive = grep { !gone($_) } @device;

            !grep { keys %{ $seen{$_->client_id} } < RECORDS } @alive;
        });

    for my $c (grep { !gone($_) } @device) {
        my (%seen, %last);

        $stayed++;

        for my $p (@{ $got{$c->client_id} }) {
            $repeated++ if $seen{$p}++;
            next if $seen{$p} > 1;

            push @disorder, "$round: $p" if $p < ($last{$p % PARTITIONS} // 0);
            $last{$p % PARTITIONS} = $p;
        }

        my @lost = grep { !$seen{$_} } $from .. $from + RECORDS - 1;

        push @missing, "$round: " . $c->client_id . " $lost[0] .. $lost[-1]"
            if @lost;
    }

    $from += RECORDS;
}


# What came again while a client subscribed was read with SUBACK, and has to be
# acknowledged before anything else comes.

sub gone {
    my ($c) = @_;

    1 while @{ $c->{inbox} } && $c->recv_message(0);

    return $c->closed;
}


cmp_ok($stayed, '>', 0, "$stayed connections stayed");
unlike($t->error_log, qr{too slow}, "nobody was too slow");
is_deeply(\@missing, [], 'they got everything');
is_deeply(\@disorder, [], 'in the order of the partitions');
note("$repeated messages came again");

my $ends = join ' ', map { $_->[1] } $kafka->offsets($topic);

ok((wait_for { join(' ', $kafka->committed($t->dir, $topic)) eq $ends } 20),
   'all is committed in the end');

done_testing();

###############################################################################
