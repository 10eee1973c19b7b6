#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Reloads while records are delivered: whoever stays connected gets each of
# them once and in order, as the old workers hand their partitions over, and
# nobody is fenced.  A shutdown hands over to the next start.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use POSIX ();
use Test::More tests => 11;

use constant { EACH => 2000, PARTITIONS => 4 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => PARTITIONS);

# old workers keep their clients: one of them goes in a second

$t->write_conf(kafka => 1, workers => 2,
               server => 'mqtt_max_queued 100000;', gateway => <<"END");
    topic command kafka=$topic downlink;
    drain_rate 1;
END

$t->run;
ok($t->wait_total(kafka_partitions => PARTITIONS, 20), 'assigned');

# the last to be disconnected are those that came last

my @c = map { $t->client(client_id => "c$_", version => 4) } 1 .. 30;
my @last = @c[-4 .. -1];

$_->subscribe('command/#' => 1) for @last;

my %got;

for my $round (1, 2) {
    my $from = ($round - 1) * EACH;

    my $writer = fork // die "fork: $!\n";

    if (!$writer) {
        for my $part (0 .. 9) {
            my $first = $from + $part * EACH / 10;

            $kafka->write($topic, map { { payload => $_,
                partition => $_ % PARTITIONS,
                headers => [ [ mqttSecondTopic => "/$_" ] ] } }
                $first .. $first + EACH / 10 - 1);
        }

        POSIX::_exit(0);
    }

    ok($t->reload, "reload $round");
    waitpid $writer, 0;

    MqttTest::Client->pump(\@last, timeout => 30,
        on_packet => sub {
            my ($c, $packet) = @_;

            push @{ $got{$c->client_id} }, $packet->{payload}
                if $packet->{type} eq 'PUBLISH';
        },
        until => sub {
            !grep { @{ $got{$_->client_id} || [] } < $round * EACH } @last;
        });
}

my (@wrong, @twice);

for my $c (@last) {
    my (%last, %seen);

    for my $n (@{ $got{$c->client_id} }) {
        push @twice, $n if $seen{$n}++;
        push @wrong, $n if $n < ($last{$n % PARTITIONS} // 0);
        $last{$n % PARTITIONS} = $n;
    }
}

is_deeply([ map { scalar @{ $got{$_->client_id} || [] } } @last ],
          [ (2 * EACH) x @last ], 'all are delivered');
is_deeply(\@twice, [], 'once');
is_deeply(\@wrong, [], 'in order');
unlike($t->error_log, qr/is lost|fenced/i, 'nobody was fenced');

my $left = () = $t->error_log =~ /has left its group/g;

is($left, 4, 'the old ones have left, each once');

# restart: nothing is lost in between, nothing comes twice; a worker that had
# nearly all clients would need half a minute to disconnect them

$_->close for @c;
ok($t->stop, 'stopped');
$kafka->write($topic, map { { payload => "r$_",
                              partition => $_ % PARTITIONS } } 0 .. 99);
$t->run;

my $c = $t->client(client_id => 'new');
$c->subscribe('command/#' => 1);
$kafka->write($topic, { payload => 'end', partition => 0 });

my $m;

1 while ($m = $c->recv_message) && $m->{payload} ne 'end';

is($m && $m->{payload}, 'end', 'delivered again after a restart');
ok($t->wait_total(kafka_consumed => 101, 10),
   'what came in between is consumed, and nothing else');

###############################################################################
